import { createHash } from 'node:crypto';
import { compileImaRules, NO_IMA_RULES, verifyIma } from '../../src/evidence/index.ts';
import type { ImaExpectations, ImaQuestion, ImaRules, VerifiedIma } from '../../src/evidence/index.ts';
import { HASH_NAMES, digestSize, importAttestationKey, verifyQuote } from '../../src/tpm/index.ts';
import type { HashName, VerifiedPcrs } from '../../src/tpm/index.ts';
import { NONCE, quoteOf, signedQuote, softwareAk } from './software-ak.ts';

/** H(parts), computed apart from the code under test. */
export function h(algorithm: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

export const latin1 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
export const u32 = (value: number): Uint8Array => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return new Uint8Array(bytes);
};
export const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

/** One entry as a kernel makes it. */
export interface MadeEntry {
  readonly pcr: number;
  readonly violation: boolean;
  /** What template digests are over. */
  readonly hashed: Uint8Array;
  readonly bytes: Uint8Array;
}

interface EntryOptions {
  readonly pcr?: number;
  readonly violation?: boolean;
}

/** An entry of any template but `ima`, from its fields' bytes. */
export function entry(
  template: string,
  fields: readonly Uint8Array[],
  options: EntryOptions = {},
): MadeEntry {
  const { pcr = 10, violation = false } = options;
  const data = join(...fields.flatMap((field) => [u32(field.length), field]));
  const sha1 = violation ? new Uint8Array(20) : h('sha1', data);
  const bytes = join(u32(pcr), sha1, u32(template.length), latin1(template), u32(data.length), data);
  return { pcr, violation, hashed: data, bytes };
}

/** An entry of the first template. */
export function legacyEntry(digest: Uint8Array, name: string, options: EntryOptions = {}): MadeEntry {
  const { pcr = 10, violation = false } = options;
  const hashed = new Uint8Array(20 + 256);
  hashed.set(digest);
  hashed.set(latin1(name), 20);
  const sha1 = violation ? new Uint8Array(20) : h('sha1', hashed);
  const bytes = join(u32(pcr), sha1, u32(3), latin1('ima'), digest, u32(name.length), latin1(name));
  return { pcr, violation, hashed, bytes };
}

/** The field `d-ng`. */
export const dNg = (digest: Uint8Array, algorithm = 'sha256'): Uint8Array =>
  join(latin1(`${algorithm}:\0`), digest);
/** The field `n-ng`. */
export const nNg = (path: string): Uint8Array => latin1(`${path}\0`);

/** A measured file. */
export function file(path: string, content: string | Uint8Array, options: EntryOptions = {}): MadeEntry {
  return entry('ima-ng', [dNg(sha256(content)), nNg(path)], options);
}

/** A measured file with a security.ima. */
export function signedFile(path: string, content: string, signature: Uint8Array): MadeEntry {
  return entry('ima-sig', [dNg(sha256(content)), nNg(path), signature]);
}

/** A measured buffer. */
export function buffer(name: string, content: Uint8Array): MadeEntry {
  return entry('ima-buf', [dNg(sha256(content)), nNg(name), content]);
}

export function violation(path: string): MadeEntry {
  return entry('ima-ng', [dNg(new Uint8Array(32)), nNg(path)], { violation: true });
}

export const sha256 = (content: string | Uint8Array): Uint8Array =>
  h('sha256', typeof content === 'string' ? latin1(content) : content);
/** As rules write it. */
export const ruleDigest = (content: string | Uint8Array): string => `sha256:${hex(sha256(content))}`;

/** How a bank is extended. */
export type Mode = 'hash' | 'padded' | 'padded-legacy';

/** PCR value after the entries, by the definition. */
export function replayed(
  entries: readonly MadeEntry[],
  bank: HashName,
  mode: Mode = 'hash',
  pcr = 10,
): Uint8Array {
  const size = digestSize(bank);
  let value = new Uint8Array(size);
  for (const one of entries.filter((candidate) => candidate.pcr === pcr)) {
    const extended = new Uint8Array(size);
    if (one.violation) extended.fill(0xff, 0, mode === 'padded-legacy' ? 20 : size);
    else extended.set(mode === 'hash' ? h(bank, one.hashed) : h('sha1', one.hashed));
    value = new Uint8Array(h(bank, value, extended));
  }
  return value;
}

export const listOf = (entries: readonly MadeEntry[]): Uint8Array =>
  join(...entries.map(({ bytes }) => bytes));

/** PCR 0–9 of the boots that are made here: any values will do. */
function bootPcr(bank: HashName, index: number): Uint8Array {
  return h(bank, latin1(`pcr ${index}`));
}

/** The first entry of a made list. */
export function bootAggregate(algorithm: HashName = 'sha256'): MadeEntry {
  const pcrs = [...Array(algorithm === 'sha1' ? 8 : 10).keys()].map((index) => bootPcr(algorithm, index));
  return entry('ima-ng', [dNg(h(algorithm, ...pcrs), algorithm), nNg('boot_aggregate')]);
}

/** Verified values, by way of a quote: PCR 0–9 of {@link bootAggregate} and PCR 10 as given, where not null. */
export function quoted(
  pcr10: Readonly<Partial<Record<HashName, Uint8Array | null>>>,
  indexes = 11,
): VerifiedPcrs {
  const banks = HASH_NAMES.flatMap((bank) => {
    const value = pcr10[bank];
    return value === undefined ? [] : [{ bank, value }];
  });
  const claimed = new Map(
    banks.map(({ bank, value }) => {
      const values = new Map<number, Uint8Array>();
      for (let index = 11 - indexes; index < 10; index++) values.set(index, bootPcr(bank, index));
      if (value !== null) values.set(10, value);
      return [bank, values] as const;
    }),
  );
  const selection = [...claimed].map(([bank, values]) => ({ bank, pcrs: [...values.keys()] }));
  const all = [...claimed.values()].flatMap((values) => [...values.values()]);
  const body = quoteOf(selection, {
    attested: { type: 'quote', pcrSelection: selection, pcrDigest: h('sha256', ...all) },
  });
  const ak = softwareAk();
  const evidence = { ...signedQuote(ak, body), pcrs: claimed };
  const { pcrs } = verifyQuote(evidence, importAttestationKey(ak.publicBytes), { nonce: NONCE });
  if (pcrs === null) throw new Error('the quote has no values');
  return pcrs;
}

export const BOOT = { resetCount: 2, restartCount: 0 } as const;

export const rules = (some: Partial<ImaRules> = {}): ImaRules => ({ ...NO_IMA_RULES, ...some });

/** Verifies a made list: boot_aggregate and `entries`, all of them quoted. */
export function verifyMade(
  entries: readonly MadeEntry[],
  some: Partial<ImaRules> = {},
  more: Partial<ImaQuestion> & { readonly expectations?: ImaExpectations } = {},
): VerifiedIma {
  const all = [bootAggregate(), ...entries];
  const { expectations, ...question } = more;
  return verifyIma([listOf(all)], {
    pcrs: quoted({ sha256: replayed(all, 'sha256') }),
    boot: BOOT,
    rules: compileImaRules(rules(some), expectations),
    ...question,
  });
}
