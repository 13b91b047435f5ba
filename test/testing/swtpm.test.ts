import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';

async function clockInfo(tpm: Swtpm): Promise<{ reset: number; restart: number; safe: boolean }> {
  const text = await tpm.tool('tpm2_readclock');
  const number = (name: string): number => Number(new RegExp(`${name}: (\\d+)`).exec(text)?.[1]);
  return { reset: number('reset_count'), restart: number('restart_count'), safe: text.includes('safe: yes') };
}

async function pcr(tpm: Swtpm, selection: string): Promise<string> {
  return (await tpm.tool('tpm2_pcrread', [selection])).trim();
}

describe('an emulated TPM', () => {
  let tpm: Swtpm;
  beforeAll(async () => {
    tpm = await startSwtpm({ eccP256: true });
  });
  afterAll(async () => {
    await tpm.stop();
  });

  it('has the EK certificates in NV that it says it has', async () => {
    const indexes = await tpm.tool('tpm2_getcap', ['handles-nv-index']);
    expect(indexes.match(/0x[0-9A-F]+/g)).toEqual(['0x1C00002', '0x1C0000A', '0x1C00016']);
    for (const [index, certificate] of [
      ['0x1c00002', tpm.ekCertificates.rsa2048],
      ['0x1c00016', tpm.ekCertificates.eccP384],
      ['0x1c0000a', tpm.ekCertificates.eccP256],
    ] as const) {
      const file = path.join(path.dirname(tpm.socket), 'nv.bin');
      await tpm.tool('tpm2_nvread', [index, '-o', file]);
      expect(new Uint8Array(readFileSync(file))).toEqual(certificate);
    }
  });

  it('has EK certificates by the CA that it names, for the keys that the templates make', async () => {
    const { root, issuer } = tpm.caCertificates;
    expect(new X509Certificate(root).verify(new X509Certificate(root).publicKey)).toBe(true);
    expect(new X509Certificate(issuer).verify(new X509Certificate(root).publicKey)).toBe(true);
    const file = path.join(path.dirname(tpm.socket), 'ek.pem');
    for (const [algorithm, certificate] of [
      ['rsa', tpm.ekCertificates.rsa2048],
      ['ecc', tpm.ekCertificates.eccP256],
    ] as const) {
      const parsed = new X509Certificate(certificate ?? new Uint8Array());
      expect(parsed.verify(new X509Certificate(issuer).publicKey)).toBe(true);
      await tpm.tool('tpm2_createek', ['-c', 'ek.ctx', '-G', algorithm, '-u', file, '-f', 'pem']);
      await tpm.tool('tpm2_flushcontext', ['-t']);
      expect(parsed.publicKey.export({ type: 'spki', format: 'pem' })).toBe(readFileSync(file, 'utf8'));
    }
  });

  it('counts a reset after Shutdown(CLEAR), and its PCRs start again', async () => {
    const initial = await pcr(tpm, 'sha256:7');
    await tpm.tool('tpm2_pcrextend', [`7:sha256=${'11'.repeat(32)}`]);
    expect(await pcr(tpm, 'sha256:7')).not.toBe(initial);
    const before = await clockInfo(tpm);
    await tpm.reboot();
    expect(await clockInfo(tpm)).toEqual({ reset: before.reset + 1, restart: 0, safe: true });
    expect(await pcr(tpm, 'sha256:7')).toBe(initial);
  });

  it('restarts or resumes after Shutdown(STATE), keeping its PCRs when it resumes', async () => {
    await tpm.tool('tpm2_pcrextend', [`7:sha256=${'22'.repeat(32)}`]);
    const extended = await pcr(tpm, 'sha256:7');
    const before = await clockInfo(tpm);
    await tpm.reboot({ shutdown: 'state', startup: 'state' });
    expect(await clockInfo(tpm)).toEqual({ reset: before.reset, restart: before.restart + 1, safe: true });
    expect(await pcr(tpm, 'sha256:7')).toBe(extended);
    await tpm.reboot({ shutdown: 'state', startup: 'clear' });
    expect(await clockInfo(tpm)).toEqual({ reset: before.reset, restart: before.restart + 2, safe: true });
  });

  it('has a clock that is not safe after a crash', async () => {
    await tpm.reboot({ shutdown: 'none' });
    expect((await clockInfo(tpm)).safe).toBe(false);
  });

  it('can be rolled back to a snapshot and cleared', async () => {
    await tpm.shutdown('clear');
    const snapshot = await tpm.snapshot();
    await tpm.reboot({ shutdown: 'none' });
    const { reset } = await clockInfo(tpm);
    await tpm.reboot();
    expect((await clockInfo(tpm)).reset).toBe(reset + 1);
    await tpm.restore(snapshot);
    expect((await clockInfo(tpm)).reset).toBe(reset);
    await tpm.clear();
    expect((await clockInfo(tpm)).reset).toBe(0);
  });
});

describe('several emulated TPMs', () => {
  it('run at once, each with its own EK, from one CA unless told otherwise', async () => {
    await using a = await startSwtpm();
    const [b, c] = await Promise.all([startSwtpm(), startSwtpm({ ownCa: true })]);
    await using stopB = b;
    await using stopC = c;
    expect(stopB.tcti).not.toBe(stopC.tcti);
    expect(b.caCertificates).toEqual(a.caCertificates);
    expect(c.caCertificates).not.toEqual(a.caCertificates);
    const keys = [a, b, c].map(({ ekCertificates }) => Buffer.from(ekCertificates.rsa2048).toString('hex'));
    expect(new Set(keys).size).toBe(3);
    await Promise.all([a, b, c].map((tpm) => tpm.tool('tpm2_getrandom', ['--hex', '8'])));
  });

  it('share an EK only as clones, and their states are apart', async () => {
    await using a = await startSwtpm({ clone: true, banks: ['sha256'] });
    await using b = await startSwtpm({ clone: true, banks: ['sha256'] });
    expect(b.ekCertificates).toEqual(a.ekCertificates);
    await a.reboot();
    expect((await clockInfo(a)).reset).toBe((await clockInfo(b)).reset + 1);
  });

  it('have only the banks that were asked for', async () => {
    await using tpm = await startSwtpm({ clone: true, banks: ['sha256', 'sha384'] });
    const banks = await tpm.tool('tpm2_getcap', ['pcrs']);
    const used = [...banks.matchAll(/- (sha\d+): \[ \d/g)].map(([, name]) => name);
    expect(used).toEqual(['sha256', 'sha384']);
    await expect(startSwtpm({ banks: [] })).rejects.toThrow(RangeError);
  });
});

describe('what is left behind', () => {
  it('is nothing after stop', async () => {
    const tpm = await startSwtpm({ clone: true, banks: ['sha256'] });
    const { pid } = tpm;
    expect(existsSync(`/proc/${String(pid)}`)).toBe(true);
    await tpm.stop();
    await tpm.stop();
    expect(existsSync(`/proc/${String(pid)}`)).toBe(false);
    expect(existsSync(path.dirname(tpm.socket))).toBe(false);
    await expect(tpm.reboot({ shutdown: 'none' })).rejects.toThrow('swtpm');
  });

  it.each(['SIGKILL', 'exit'])('is nothing after the process ended by %s', async (how) => {
    const { pid, directory } = await startInChild(
      how === 'exit' ? 'process.exit(3)' : 'await new Promise(() => setInterval(() => {}, 1e6))',
    );
    await until(() => !existsSync(`/proc/${String(pid)}`) && !existsSync(directory));
  });

  async function startInChild(end: string): Promise<{ pid: number; directory: string }> {
    const script =
      "const { startSwtpm } = await import('./src/testing/index.ts');" +
      'const tpm = await startSwtpm();' +
      'process.stdout.write(JSON.stringify({ pid: tpm.pid, socket: tpm.socket }) + "\\n", async () => {' +
      `${end} });`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    for await (const chunk of child.stdout) {
      text += String(chunk);
      if (text.includes('\n')) break;
    }
    const { pid, socket } = JSON.parse(text) as { pid: number; socket: string };
    child.kill('SIGKILL');
    return { pid, directory: path.dirname(path.dirname(socket)) };
  }
});

describe('clear errors', () => {
  it('a program that is missing is named, with the package that has it', async () => {
    const before = process.env['PATH'];
    process.env['PATH'] = '/nonexistent';
    try {
      await expect(startSwtpm({ ownCa: true })).rejects.toThrow(
        "swtpm_setup isn't installed: apt-get install swtpm-tools",
      );
    } finally {
      process.env['PATH'] = before;
    }
  });

  it('a TPM whose connection somebody holds says so', async () => {
    await using tpm = await startSwtpm({ clone: true, banks: ['sha256'] });
    const held = connect(tpm.socket);
    await once(held, 'connect');
    await expect(tpm.shutdown('clear')).rejects.toThrow('It serves one at a time');
    held.destroy();
    await tpm.shutdown('clear');
  });

  it('a command of tpm2-tools that fails says how', async () => {
    await using tpm = await startSwtpm({ clone: true, banks: ['sha256'] });
    await expect(tpm.tool('tpm2_nvread', ['0x1c0ffff'])).rejects.toThrow(
      /tpm2_nvread ended with 1: .*handle/s,
    );
  });
});

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !condition(); i++) await sleep(20);
  expect(condition()).toBe(true);
}
