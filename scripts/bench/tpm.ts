/**
 * A quote over 24 PCRs through node-tpm2 beside one by `tpm2_quote`, by turns on the same emulated TPM and by the same
 * attestation key. `quote` is a quote alone, with the key's authValue as a password, which is what the tool does too;
 * `quote-session` is the agent's: over a fresh session, salted to the EK and encrypting. A run of the tool is a
 * process: the ratio says what a program gains that keeps the TPM open.
 */
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { Tpm } from '../../native/index.ts';
import type { TpmObject } from '../../native/index.ts';
import { toHex } from '../../src/base/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import type { PcrSelection } from '../../src/tpm/index.ts';

const PAIRS = 5;
/** Quotes in one sample. */
const OURS = 20;
const THEIRS = 5;
const SELECTION: PcrSelection = [{ bank: 'sha256', pcrs: Array.from({ length: 24 }, (_, index) => index) }];

const { values: flags } = parseArgs({
  options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
});
if (flags.help) {
  process.stdout.write('usage: scripts/bench/tpm [--json]\n');
  process.exit(0);
}

/** Quotes a second. */
async function rate(count: number, quote: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < count; i++) await quote();
  return (1000 * count) / (performance.now() - start);
}

function median(samples: readonly number[]): number {
  return [...samples].sort((a, b) => a - b)[samples.length >> 1] ?? NaN;
}

interface Subject {
  readonly name: string;
  readonly quote: () => Promise<unknown>;
}

function subjects(tpm: Tpm, ek: TpmObject, key: TpmObject): readonly Subject[] {
  const request = () => ({ key, qualifyingData: new Uint8Array(randomBytes(32)), selection: SELECTION });
  return [
    { name: 'quote', quote: () => tpm.quote(request()) },
    {
      name: 'quote-session',
      quote: async () => {
        await using session = await tpm.startSession({ type: 'hmac', salt: ek });
        return await tpm.quote({ ...request(), auth: session });
      },
    },
  ];
}

interface Result {
  readonly name: string;
  readonly value: number;
  readonly theirs: number;
  readonly ratio: number;
}

async function measure(swtpm: Swtpm): Promise<readonly Result[]> {
  await using tpm = await Tpm.open(swtpm.tcti);
  await using ek = await tpm.endorsementKey('L-1');
  const ak = await tpm.attestationKey({ ek });
  const args = ['-c', `0x${ak.handle.toString(16)}`, '-p', `hex:${toHex(ak.authValue)}`, '-l', 'sha256:all'];
  const tool = (): Promise<string> => swtpm.tool('tpm2_quote', [...args, '-q', toHex(randomBytes(32))]);
  const results: Result[] = [];
  for (const { name, quote } of subjects(tpm, ek, ak.key)) {
    await rate(OURS, quote); // warm
    const pairs: { readonly ours: number; readonly theirs: number }[] = [];
    while (pairs.length < PAIRS)
      pairs.push({ ours: await rate(OURS, quote), theirs: await rate(THEIRS, tool) });
    results.push({
      name,
      value: median(pairs.map(({ ours }) => ours)),
      theirs: median(pairs.map(({ theirs }) => theirs)),
      ratio: median(pairs.map(({ ours, theirs }) => ours / theirs)),
    });
  }
  await tpm.evictControl(ak.key);
  return results;
}

async function main(): Promise<void> {
  await using swtpm = await startSwtpm();
  const results = await measure(swtpm);
  if (flags.json) {
    const cases = results.map(({ name, value, ratio }) => ({
      name,
      value: Number(value.toFixed(1)),
      unit: 'quotes/s',
      against: 'tpm2_quote',
      ratio: Number(ratio.toFixed(3)),
    }));
    process.stdout.write(`${JSON.stringify({ bench: 'tpm', cases })}\n`);
    return;
  }
  process.stdout.write(`quotes on one emulated TPM, 24 PCRs; median of ${PAIRS} interleaved pairs\n`);
  for (const { name, value, theirs, ratio } of results) {
    process.stdout.write(
      `  ${name.padEnd(13)}  ${value.toFixed(0).padStart(5)} quotes/s   ` +
        `tpm2_quote ${theirs.toFixed(0).padStart(4)} quotes/s   ratio ${ratio.toFixed(2)}\n`,
    );
  }
}

await main();
