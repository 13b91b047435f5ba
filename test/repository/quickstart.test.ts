import { execFileSync, spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
const script = (name: string): string => path.join(ROOT, 'scripts', name);

describe('scripts/quickstart', () => {
  it('shows every proof and every refusal, from any directory', () => {
    const output = execFileSync(script('quickstart'), ['--no-install'], { cwd: tmpdir(), encoding: 'utf8' });
    expect(output).toContain('every proof held and every attack was refused');
    // Each with what it says: an error for any other reason is no refusal.
    const refusals: readonly (readonly [string, string])[] = [
      ['the same quote for another nonce', 'nonce'],
      ['a second time', 'was flushed'],
      ['a second time, in a session of its own', 'TPM_RC_SIGNATURE'],
      ['in another session', 'TPM_RC_SIGNATURE'],
      ['after the deadline of 1 s', 'TPM_RC_EXPIRED'],
      ['after PCR 7 changed', 'TPM_RC_VALUE'],
    ];
    const lines = output.split('\n').filter((line) => /^ +refused /.test(line));
    for (const [what, says] of refusals) {
      expect(lines.find((line) => line.includes(` ${what}: `))).toContain(says);
    }
    expect(output).not.toContain('NOT REFUSED');
    expect(output).not.toContain('WRONG ERROR');
    expect(output).toMatch(/^Every proof held and every attack was refused, in \d+\.\d s\.$/m);
    expect(output).not.toContain('WRONG');
  }, 240_000);
});

describe.each(['quickstart', 'test'])('scripts/%s', (name) => {
  it('explains itself and refuses what it does not know', () => {
    const help = spawnSync(script(name), ['--help'], { encoding: 'utf8' });
    expect(help.status).toBe(0);
    expect(help.stdout).toContain('--no-install');
    expect(spawnSync(script(name), ['--nonsense']).status).not.toBe(0);
  });
});
