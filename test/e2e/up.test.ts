import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseLogProof } from '../../src/audit/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MAIN = path.resolve(import.meta.dirname, '../../dist/src/cli/main.js');

interface Line {
  readonly step: string;
  readonly ok: boolean;
  readonly code: string | null;
  readonly check: string | null;
  readonly auditIndex: string | null;
  readonly proof: string | null;
}

let lines: readonly Line[];

/** The whole playground, as a user starts it: verifier, TPM and host are real processes. */
beforeAll(async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, 'up', '--json'], {
    timeout: 220_000,
  });
  lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}, 240_000);

const denials = () => lines.filter(({ ok }) => !ok);
const of = (step: string) => lines.find((line) => line.step === step);

describe('sealgate up --json', () => {
  it('has one line for each step, with exactly the documented members', () => {
    for (const line of lines)
      expect(Object.keys(line)).toEqual(['step', 'ok', 'code', 'check', 'auditIndex', 'proof']);
    expect(new Set(lines.map(({ step }) => step)).size).toBe(lines.length);
  });

  it('enrolls a host and runs an artifact with what the TPM opened', () => {
    for (const step of ['enrolled-host', 'signed-artifact', 'governed-run', 'delegated-run'])
      expect(of(step)).toMatchObject({ ok: true, code: null });
  });

  it.each([
    ['changed-artifact', 'runtime-identity-mismatch'],
    ['replayed-request', 'replay-detected'],
    ['widened-child', 'policy-mismatch'],
    ['unsigned-policy', 'policy-mismatch'],
    ['changed-pcr', 'environment-integrity-failure'],
    ['revoked-host', 'revoked-authorization'],
  ])('%s is denied by the verifier: %s, a leaf of the log', (step, code) => {
    const line = of(step);
    expect(line).toMatchObject({ ok: false, code });
    const proof = parseLogProof(utf8(line?.proof ?? ''));
    expect(String(proof.index)).toBe(line?.auditIndex);
  });

  it.each(['opened-twice', 'expired-deadline'])('%s is refused by the TPM itself', (step) => {
    expect(of(step)).toMatchObject({
      ok: false,
      code: 'environment-integrity-failure',
      auditIndex: null,
      proof: null,
    });
  });

  it('gives proofs that verify proof accepts, each of a leaf of its own', async () => {
    const proofs = denials().flatMap(({ proof }) => (proof === null ? [] : [proof]));
    expect(proofs).toHaveLength(6);
    const directory = temporaryDirectory();
    for (const [i, proof] of proofs.entries()) {
      const file = path.join(directory, `${String(i)}.tlog-proof`);
      writeFileSync(file, proof);
      expect((await cli('verify', 'proof', file, '--json')).exit).toBe(0);
    }
    expect(new Set(denials().map(({ auditIndex }) => auditIndex)).size).toBe(proofs.length + 1);
  });
});
