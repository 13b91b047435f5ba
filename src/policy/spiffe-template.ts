import { refuse } from '../base/index.ts';
import { parseSpiffeId } from '../x509/index.ts';

/** What a template may name; every value comes from verified facts and policy, never from the requester. */
export interface SpiffeParts {
  readonly platform: string;
  readonly artifact: string;
  readonly scope: string;
  readonly host: string;
}

const PLACEHOLDERS = ['platform', 'artifact', 'scope', 'host'] as const;
type Placeholder = (typeof PLACEHOLDERS)[number];
const LITERAL = /^[A-Za-z0-9._-]*$/;

/**
 * A path template such as `/workload/{platform}/{artifact}`, taken apart: segments of literals and placeholders.
 * @throws Refusal `spiffe-template`
 */
export function parseSpiffeTemplate(template: string): readonly (readonly string[])[] {
  const fail = (reason: string): never =>
    refuse('spiffe-template', `${reason} in "${template.slice(0, 256)}"`, {
      template: template.slice(0, 256),
    });
  if (template.length > 512 || !template.startsWith('/')) return fail('no path that begins with /');
  const segments = template.slice(1).split('/');
  return segments.map((segment) => {
    if (segment === '' || segment === '.' || segment === '..') return fail('an empty or relative segment');
    // Literals and placeholders alternate: odd positions are placeholders.
    const pieces = segment.split(/\{([a-z]*)\}/);
    pieces.forEach((piece, i) => {
      if (i % 2 === 0 && !LITERAL.test(piece)) fail(`"${piece}"`);
      if (i % 2 === 1 && !isPlaceholder(piece)) fail(`the unknown placeholder {${piece}}`);
    });
    return pieces;
  });
}

/** True when the template uses the placeholder, so that the caller must know its value. */
export function templateUses(template: string, placeholder: Placeholder): boolean {
  return parseSpiffeTemplate(template).some((pieces) =>
    pieces.some((piece, i) => i % 2 === 1 && piece === placeholder),
  );
}

/**
 * The SPIFFE ID of a credential. Each value is escaped, so that no value can bring a path segment, and two different
 * values never give the same text.
 * @throws Refusal `spiffe-template` when a value that is needed is empty, `spiffe-id` when the result is none
 */
export function expandSpiffeTemplate(trustDomain: string, template: string, parts: SpiffeParts): string {
  const segments = parseSpiffeTemplate(template).map((pieces) =>
    pieces.map((piece, i) => (i % 2 === 1 && isPlaceholder(piece) ? valueOf(parts, piece) : piece)).join(''),
  );
  return parseSpiffeId(`spiffe://${trustDomain}/${segments.join('/')}`).text;
}

function valueOf(parts: SpiffeParts, name: Placeholder): string {
  const value = parts[name];
  if (value === '') refuse('spiffe-template', `{${name}} has no value here`, { placeholder: name });
  return escapeSegment(value);
}

/**
 * A text as part of a path segment: letters, digits and `-` as they are, `.` as well where it can't make `.` or `..`;
 * every other byte of its UTF-8 as `_` and two hex digits, `_` itself included. One-to-one; SPIFFE IDs know no percent
 * encoding (SPIFFE-ID §2.2).
 */
export function escapeSegment(text: string): string {
  const out: string[] = [];
  for (const byte of Buffer.from(text, 'utf8')) {
    const character = String.fromCharCode(byte);
    const plain =
      /^[A-Za-z0-9-]$/.test(character) || (character === '.' && /[A-Za-z0-9]$/.test(out.at(-1) ?? ''));
    out.push(plain ? character : `_${byte.toString(16).padStart(2, '0')}`);
  }
  return out.join('');
}

function isPlaceholder(name: string): name is Placeholder {
  return PLACEHOLDERS.some((known) => known === name);
}
