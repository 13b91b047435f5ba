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
    for (const refused of [
      'a second time',
      'in another session',
      'after the deadline of 1 s',
      'after PCR 7 changed',
    ]) {
      expect(output).toContain(refused);
    }
    expect(output).not.toContain('NOT REFUSED');
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
