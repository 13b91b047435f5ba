import { refuse, toHex, utf8 } from '../base/index.ts';
import { parseSpiffeId } from '../x509/index.ts';
import type { SpiffeId } from '../x509/index.ts';

/** What a template of SPIFFE paths may name; each value is one that was verified. */
export interface SpiffeParts {
  readonly platform: string;
  readonly artifact: string;
  readonly host: string;
  /** Empty when the execution has no scope: a template that names it is then refused. */
  readonly scope: string;
}

/**
 * A SPIFFE ID from a template like `/run/{platform}/{artifact}`. Each value becomes exactly one path segment, whatever
 * characters it has, so no value can add a segment or climb out of one (CVE-2021-27099).
 * @param template begins with `/`; policy writes it, never a host
 * @throws Refusal `credential-template`, `spiffe-id`
 */
export function spiffeIdOf(trustDomain: string, template: string, parts: SpiffeParts): SpiffeId {
  if (!template.startsWith('/')) return bad(template);
  const path = template.replace(/\{([^{}]*)\}/g, (_, name: string) => {
    const value = isPart(name) ? parts[name] : bad(template);
    return value === '' ? bad(template) : spiffeSegment(value);
  });
  if (/[{}]/.test(path)) return bad(template);
  return parseSpiffeId(`spiffe://${trustDomain}${path}`);
}

/**
 * One path segment for any text, different texts giving different segments: what SPIFFE doesn't allow is written as `_`
 * and two hex digits of its UTF-8, and so is `_` itself, and the dots of `.` and `..`.
 */
export function spiffeSegment(value: string): string {
  if (value === '.' || value === '..') return value.replaceAll('.', '_2e');
  return value.replace(/[^A-Za-z0-9.-]/gu, (character) =>
    toHex(utf8(character)).replace(/../g, (byte) => `_${byte}`),
  );
}

/** The identity of a host: the accountable origin of an execution that nobody initiated. */
export function hostSpiffeId(trustDomain: string, hostId: string): string {
  return parseSpiffeId(`spiffe://${trustDomain}/host/${spiffeSegment(hostId)}`).text;
}

function isPart(name: string): name is keyof SpiffeParts {
  return name === 'platform' || name === 'artifact' || name === 'host' || name === 'scope';
}

function bad(template: string): never {
  return refuse('credential-template', 'the template of the SPIFFE path can’t be filled', { template });
}
