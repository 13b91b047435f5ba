import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  NO_IMA_RULES,
  compileImaRules,
  isVerifiedIma,
  readImaEntries,
  verifyIma,
} from '../../../src/evidence/index.ts';
import type { ImaRules } from '../../../src/evidence/index.ts';
import { verifyQuote } from '../../../src/tpm/index.ts';
import type { VerifiedQuote } from '../../../src/tpm/index.ts';
import { bootKey, bootQuote } from '../../support/boots.ts';
import { expectRefusal } from '../../support/refusals.ts';
import { dataFile } from '../../support/vectors.ts';

const BOOTS = ['plain-boot', 'secure-boot', 'secure-boot-tampered-cmdline'];
const DATA = path.resolve(import.meta.dirname, '../../data/boots');

function folders(...parts: readonly string[]): readonly string[] {
  try {
    return readdirSync(path.join(DATA, ...parts), { withFileTypes: true })
      .filter((found) => found.isDirectory())
      .map(({ name }) => name)
      .sort();
  } catch {
    return [];
  }
}

/** Every quote that covers PCR 10, with the list that was read after it. */
const CASES = BOOTS.flatMap((boot) => [
  { boot, quote: '.', list: 'ima_binary.bin' },
  ...folders(boot, 'rounds').flatMap((round) =>
    folders(boot, 'rounds', round).map((kind) => ({
      boot,
      quote: `rounds/${round}/${kind}`,
      list: `rounds/${round}/ima_binary.bin`,
    })),
  ),
  ...folders(boot, 'extra')
    // An empty nonce is no quote (e16); one PCR is another one.
    .filter((kind) => kind !== 'emptynonce' && kind !== 'onepcr')
    .map((kind) => ({ boot, quote: `extra/${kind}`, list: 'extra/ima_binary.bin' })),
]);

function verified(boot: string, quote: string): VerifiedQuote {
  const captured = bootQuote(boot, quote);
  return verifyQuote(captured, bootKey(boot, captured.facts.signerPublic), {
    nonce: captured.nonce,
    selection: captured.selection,
  });
}

function question(boot: string, quote: string, rules: ImaRules = NO_IMA_RULES) {
  const { attest, pcrs } = verified(boot, quote);
  const { resetCount, restartCount } = attest.clockInfo;
  return { pcrs: pcrs!, boot: { resetCount, restartCount }, rules: compileImaRules(rules) };
}

const entriesInQuote = (boot: string, quote: string): number => {
  const facts = bootQuote(boot, quote).facts as unknown as {
    readonly ima_entries_in_quote: Readonly<Record<string, number>>;
  };
  return Math.max(...Object.values(facts.ima_entries_in_quote));
};

/** Allows what a boot's list has: what `policy learn` does. */
function learned(boot: string, list: string, count: number): ImaRules {
  const files: Record<string, string[]> = {};
  const violations: string[] = [];
  readImaEntries([dataFile(`boots/${boot}/${list}`)], count, (entry) => {
    if (entry.violation) violations.push(entry.path);
    else (files[entry.path] ??= []).push(entry.digest);
  });
  delete files['boot_aggregate'];
  return { ...NO_IMA_RULES, files, violations };
}

describe('IMA lists of booted guests', () => {
  it('cover sha1, sha256 and the padded sha384 bank, several rounds, and three kinds of keys', () => {
    expect(CASES.length).toBeGreaterThan(25);
  });

  it.each(CASES)('$boot $quote gives the quoted PCR 10', ({ boot, quote, list }) => {
    const asked = question(boot, quote);
    const ima = verifyIma([dataFile(`boots/${boot}/${list}`)], asked);
    const { selection } = bootQuote(boot, quote);
    expect(isVerifiedIma(ima)).toBe(true);
    expect(ima.consumed).toBe(entriesInQuote(boot, quote));
    expect([...ima.banks.keys()].sort()).toEqual(selection.map(({ bank }) => bank).sort());
    expect(ima.banks.get('sha256') ?? 'hash').toBe('hash');
    expect(ima.banks.get('sha1') ?? 'hash').toBe('hash');
    // The kernel could not allocate sha384.
    expect(ima.banks.get('sha384') ?? 'padded').toBe('padded');
    const quotesSha256 = selection.some(({ bank }) => bank === 'sha256');
    expect(ima.bootAggregate.checkedWith).toBe(quotesSha256 ? 'quote' : 'unchecked');
    expect(ima.unchecked).toEqual(quotesSha256 ? [] : ['boot_aggregate']);
    // Nothing listed means nothing allowed.
    const { findings } = ima;
    expect(findings.known).toBe(0);
    expect(findings.unknown.total).toBe(findings.files);
    expect(findings.files + findings.violations.total + findings.bootAggregates.total).toBe(ima.consumed);
  });

  it('accepts the next round and the next boot by what was learned from a list', () => {
    const rules = learned('secure-boot', 'ima_binary.bin', 647);
    const ima = verifyIma([dataFile('boots/secure-boot/rounds/r1/ima_binary.bin')], {
      ...question('secure-boot', 'rounds/r1/main', rules),
    });
    expect(ima.findings.unknown).toEqual({ total: 0, list: [] });
    expect(ima.findings.known).toBe(479);
    const next = verifyIma([dataFile('boots/secure-boot-tampered-cmdline/ima_binary.bin')], {
      ...question('secure-boot-tampered-cmdline', '.', rules),
    });
    expect(next.findings.violationsNotTolerated).toBe(0);
    // The command line changed, the files didn't, except what a boot writes anew.
    expect(next.findings.unknown.total).toBeLessThan(10);
  });

  it('reports the violations with the paths that the list claims', () => {
    const { findings } = verifyIma(
      [dataFile('boots/secure-boot/ima_binary.bin')],
      question('secure-boot', '.'),
    );
    expect(findings.violations).toEqual({
      total: 2,
      list: [
        { entry: 484, claimedPath: '/opt/exercise/ow' },
        { entry: 487, claimedPath: '/opt/exercise/tomtou' },
      ],
    });
    expect(findings.violationsNotTolerated).toBe(2);
  });

  it('takes a list that has grown since the quote, and leaves out what was added', () => {
    const ima = verifyIma(
      [dataFile('boots/secure-boot/ima_binary.bin')],
      question('secure-boot', 'rounds/r0/main'),
    );
    expect(ima).toMatchObject({ entries: 647, consumed: 464, fresh: 464 });
    expect(ima.findings.violations.total).toBe(0);
  });

  it('goes on round by round with the new entries only', () => {
    const lists = ['r0', 'r1', 'r2', 'r3'].map((round) =>
      dataFile(`boots/secure-boot/rounds/${round}/ima_binary.bin`),
    );
    let state: Parameters<typeof verifyIma>[1]['state'];
    let sent = 0;
    for (const [i, list] of lists.entries()) {
      const asked = question('secure-boot', `rounds/r${i}/main`);
      const ima = verifyIma([list.slice(sent)], { ...asked, state, firstEntry: state?.entries ?? 0 });
      const whole = verifyIma([list], asked);
      expect(ima.findings).toEqual(whole.findings);
      expect(ima.consumed).toBe(whole.consumed);
      state = ima.state;
      sent = list.length;
    }
  });
});

/** Where the entries of a binary list begin: PCR, digest (20), then name and data, each behind its length. */
function entryStarts(list: Uint8Array): readonly number[] {
  const view = new DataView(list.buffer, list.byteOffset, list.length);
  const starts: number[] = [];
  for (let at = 0; at < list.length;) {
    starts.push(at);
    const data = at + 28 + view.getUint32(at + 24, true);
    at = data + 4 + view.getUint32(data, true);
  }
  return starts;
}

// The checklist's e26: PCR 10 is explained by the IMA list and by nothing else. What fails says which part of it by name.
describe('e26', () => {
  const LIST = dataFile('boots/secure-boot/ima_binary.bin');
  const starts = entryStarts(LIST);

  it('e26: refuses a quote without PCR 10 (ima-not-quoted)', () => {
    expectRefusal('ima-not-quoted', () =>
      verifyIma(
        [dataFile('boots/secure-boot/extra/ima_binary.bin')],
        question('secure-boot', 'extra/onepcr'),
      ),
    );
  });

  it.each(['plain-boot/ima_binary.bin', 'secure-boot/rounds/r2/ima_binary.bin'])(
    'e26: refuses the list of another boot and one that was read before the quote: %s (ima-behind-quote)',
    (list) => {
      expectRefusal('ima-behind-quote', () =>
        verifyIma([dataFile(`boots/${list}`)], question('secure-boot', '.')),
      );
    },
  );

  it('e26: refuses a list that lacks an entry, wherever it was (ima-behind-quote)', () => {
    expect(verifyIma([LIST], question('secure-boot', '.')).consumed).toBe(starts.length);
    for (const at of [0, 1, 300, starts.length - 1]) {
      const without = [LIST.slice(0, starts[at]), LIST.slice(starts[at + 1] ?? LIST.length)];
      expectRefusal('ima-behind-quote', () => verifyIma(without, question('secure-boot', '.')));
    }
  });

  it('e26: refuses no list where one has to explain PCR 10 (ima-empty)', () => {
    expectRefusal('ima-empty', () => verifyIma([], question('secure-boot', '.')));
  });
});
