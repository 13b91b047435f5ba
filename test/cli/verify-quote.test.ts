import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/index.ts';
import { cli } from '../support/cli.ts';
import { NONCE, SELECTION, quoteOf, signedQuote, softwareAk } from '../support/software-ak.ts';
import { dataFile, dataJson } from '../support/vectors.ts';

const DATA = path.resolve(import.meta.dirname, '../data/boots/secure-boot');
const SELECT = 'sha256:0,1,2,3,4,5,6,7,8,9,10,14';
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sealgate-verify-quote-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const at = (name: string): string => path.join(DATA, name);
const nonce = Buffer.from(dataFile('boots/secure-boot/nonce.hex')).toString('utf8').trim();

function write(name: string, bytes: Uint8Array | string): string {
  const file = path.join(folder, name);
  writeFileSync(file, bytes);
  return file;
}

/** The flags of a good call, with changes; undefined leaves a flag out. */
function flags(changes: Readonly<Record<string, string | undefined>> = {}): string[] {
  const all = {
    attest: at('quote.msg'),
    signature: at('quote.sig'),
    ak: at('ak.pub'),
    nonce,
    pcrs: at('quoted_pcrs.json'),
    select: SELECT,
    ...changes,
  };
  return Object.entries<string | undefined>(all).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, value],
  );
}

async function answer(argv: readonly string[]): Promise<{ exit: number; json: Record<string, unknown> }> {
  const { exit, stdout, stderr } = await cli('verify', 'quote', ...argv, '--json');
  expect(stderr).toBe('');
  return { exit, json: JSON.parse(stdout) as Record<string, unknown> };
}

async function refusal(argv: readonly string[]): Promise<unknown> {
  const { exit, json } = await answer(argv);
  expect(exit).toBe(1);
  expect(Object.keys(json)).toEqual(['ok', 'denial', 'unchecked', 'quote', 'key', 'pcrs']);
  expect(json['ok']).toBe(false);
  return json;
}

const denial = (check: string, code: string): unknown => ({
  denial: {
    stage: 'environment',
    check,
    code,
    reason: expect.any(String) as unknown,
    remedy: expect.any(String) as unknown,
  },
});

describe('verify quote', () => {
  it('answers with what it verified', async () => {
    const { exit, json } = await answer(flags());
    expect(exit).toBe(0);
    expect(json).toEqual({
      ok: true,
      denial: null,
      unchecked: ['e2', 'e3', 'e15', 'e17', 'e18'],
      quote: {
        qualifyingData: nonce,
        clock: '57672',
        resetCount: 2,
        restartCount: 0,
        safe: true,
        firmwareVersion: '2019102300163636',
        pcrSelection: { sha256: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14] },
        pcrDigest: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
        qualifiedSigner: expect.stringMatching(/^000b[0-9a-f]{64}$/) as unknown,
      },
      key: {
        name: '000bcef40bf53f91211a370e39dc635be0fe6b7616fa1c1ffe89af7c80bc21209e28',
        type: 'rsa',
        scheme: 'rsassa',
        hash: 'sha256',
      },
      pcrs: dataJson('boots/secure-boot/quoted_pcrs.json'),
    });
    expect(Object.keys(json)).toEqual(['ok', 'denial', 'unchecked', 'quote', 'key', 'pcrs']);
  });

  it('takes the key as TPM2B_PUBLIC and as TPMT_PUBLIC, and passes --strict with all flags', async () => {
    expect((await answer([...flags({ ak: at('ak.tpmt') }), '--strict'])).exit).toBe(0);
  });

  it('without --pcrs and --select says what it could not check', async () => {
    const { exit, json } = await answer(flags({ pcrs: undefined, select: undefined }));
    expect(exit).toBe(0);
    expect(json).toMatchObject({
      ok: true,
      pcrs: null,
      unchecked: ['e2', 'e3', 'e15', 'e17', 'e18', 'e19', 'e21', 'e22'],
    });
  });

  it('--strict refuses what a flag could have given', async () => {
    const json = await refusal([...flags({ pcrs: undefined, select: undefined }), '--strict']);
    expect(json).toMatchObject(denial('e19', 'invalid-verification') as object);
    expect(json).toHaveProperty('denial.detail.failed.2.check', 'e22');
    expect(json).toHaveProperty('denial.remedy', 'Call it again with --select, --pcrs, or without --strict.');
    expect(await refusal([...flags({ pcrs: undefined }), '--strict'])).toMatchObject(
      denial('e21', 'invalid-verification') as object,
    );
  });

  it('reads pipes as it reads files, and of what has no end no more than a file may have', async () => {
    const endless = '/dev/zero';
    for (const flag of ['attest', 'signature', 'ak', 'pcrs'])
      expect(await refusal(flags({ [flag]: endless })), flag).toMatchObject({
        denial: { code: 'malformed-request' },
      });
    const pipe = path.join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    // By another process: whoever opens a pipe waits for the other end.
    const writer = spawn('sh', ['-c', 'cat "$0" > "$1"', at('quote.msg'), pipe]);
    expect((await answer(flags({ attest: pipe }))).exit).toBe(0);
    await once(writer, 'exit');
  });

  it('for people it shows facts and what is unchecked', async () => {
    const { exit, stdout } = await cli('verify', 'quote', ...flags());
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^verified quote/);
    expect(stdout).toContain('unchecked e2 e3 e15 e17 e18');
    const no = await cli('verify', 'quote', ...flags({ nonce: '00' }));
    expect(no).toMatchObject({ exit: 1, stdout: '' });
    expect(no.stderr).toContain('[e16]');
  });

  it('has help with an example', async () => {
    const { exit, stdout } = await cli('verify', 'quote', '--help');
    expect(exit).toBe(0);
    expect(stdout).toContain('Example:');
  });
});

describe('verify quote refuses', () => {
  it('another nonce, telling what was quoted', async () => {
    const json = await refusal(flags({ nonce: 'ab'.repeat(32) }));
    expect(json).toMatchObject(denial('e16', 'invalid-verification') as object);
    expect(json).toMatchObject({ quote: { qualifyingData: nonce }, key: { type: 'rsa' } });
  });

  it('an empty nonce', async () => {
    expect(await refusal(flags({ nonce: '' }))).toMatchObject(
      denial('e16', 'invalid-verification') as object,
    );
  });

  it('another selection', async () => {
    expect(await refusal(flags({ select: 'sha256:0,1' }))).toMatchObject(
      denial('e19', 'invalid-verification') as object,
    );
  });

  it('other values, and one PCR more or fewer', async () => {
    const values = dataJson('boots/secure-boot/quoted_pcrs.json') as { sha256: Record<string, string> };
    const pcrs = (change: Record<string, string | undefined>) =>
      write('pcrs.json', JSON.stringify({ sha256: { ...values.sha256, ...change } }));
    const json = await refusal(flags({ pcrs: pcrs({ '7': '00'.repeat(32) }) }));
    expect(json).toMatchObject({ ...(denial('e22', 'invalid-verification') as object), pcrs: null });
    expect(json).toMatchObject({ quote: { resetCount: 2 } });
    for (const change of [{ '7': undefined }, { '11': '00'.repeat(32) }, { '7': '00'.repeat(20) }]) {
      expect(await refusal(flags({ pcrs: pcrs(change) }))).toMatchObject(
        denial('e21', 'invalid-verification') as object,
      );
    }
  });

  it('a changed signature, with nothing of the quote established', async () => {
    const bytes = dataFile('boots/secure-boot/quote.sig');
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    const json = await refusal(flags({ signature: write('flipped.sig', bytes) }));
    expect(json).toMatchObject(denial('e12', 'invalid-verification') as object);
    expect(json).toMatchObject({ quote: null, pcrs: null, key: { scheme: 'rsassa' } });
  });

  it.each([
    ['certify', 'ak.pub', 'e14'],
    ['gettime', 'ak.pub', 'e14'],
    ['forged-magic', 'ak.pub', 'e13'],
    ['forged-unrestricted', 'negative/unrestricted.pub', 'e5'],
  ])('negative/%s', async (name, ak, check) => {
    const files = { attest: at(`negative/${name}.msg`), signature: at(`negative/${name}.sig`), ak: at(ak) };
    const json = await refusal(flags({ ...files, pcrs: undefined, select: undefined }));
    expect(json).toMatchObject(denial(check, 'invalid-verification') as object);
  });

  it.each([
    ['attest', 'quote.msg', 'e20'],
    ['signature', 'quote.sig', 'e8'],
    ['ak', 'ak.pub', 'e4'],
  ])('a %s that is cut, longer, empty or garbage', async (flag, file, check) => {
    const bytes = dataFile(`boots/secure-boot/${file}`);
    const shapes = [
      bytes.slice(0, -1),
      Uint8Array.of(...bytes, 0),
      new Uint8Array(),
      Buffer.from('this is no TPM structure'),
    ];
    for (const [index, shape] of shapes.entries()) {
      const json = await refusal(flags({ [flag]: write(`${flag}-${index}`, shape) }));
      expect(json, `shape ${index}`).toMatchObject(denial(check, 'malformed-request') as object);
      expect(json).toMatchObject({ quote: null, pcrs: null });
    }
  });

  it('a structure over the limit', async () => {
    const large = write('large', new Uint8Array(5000));
    for (const flag of ['attest', 'signature', 'ak']) {
      expect(await refusal(flags({ [flag]: large }))).toMatchObject(
        denial('e1', 'malformed-request') as object,
      );
    }
  });

  it('PCR values that are none', async () => {
    for (const [index, content] of ['{', '{"sha256":7}', 'garbage', ''].entries()) {
      const json = await refusal(flags({ pcrs: write(`bad-${index}`, content) }));
      expect(json).toMatchObject(denial('malformed', 'malformed-request') as object);
      expect(json).toMatchObject({ pcrs: null, quote: { resetCount: 2 } });
    }
  });
});

describe('bare keys', () => {
  const ak = softwareAk();
  const quote = signedQuote(ak, quoteOf());

  it('are refused without --allow-spki, and with it name what could not be checked', async () => {
    const pem = at('ak.pem');
    expect(await refusal(flags({ ak: pem }))).toMatchObject(denial('e4', 'malformed-request') as object);
    const { exit, json } = await answer([...flags({ ak: pem }), '--allow-spki']);
    expect(exit).toBe(0);
    expect(json['unchecked']).toEqual(['e2', 'e3', 'e4', 'e5', 'e7', 'e9', 'e10', 'e15', 'e17', 'e18']);
    expect(json['key']).toEqual({ name: null, type: 'rsa', scheme: null, hash: null });
    const strict = await refusal([...flags({ ak: pem }), '--allow-spki', '--strict']);
    expect(strict).toMatchObject(denial('e5', 'invalid-verification') as object);
  });

  it('are also read in DER, and only exactly', async () => {
    const der = ak.privateKey.export({ type: 'pkcs8', format: 'der' });
    const spki = (await import('node:crypto')).createPublicKey(ak.privateKey);
    const bytes = new Uint8Array(spki.export({ type: 'spki', format: 'der' }));
    const call = (key: Uint8Array | string): string[] => [
      ...flags({
        attest: write('software.msg', quote.attest),
        signature: write('software.sig', quote.signature),
        ak: write('software.key', key),
        nonce: toHex(NONCE),
        pcrs: undefined,
        select: SELECTION.map(({ bank, pcrs }) => `${bank}:${pcrs.join()}`).join(),
      }),
      '--allow-spki',
    ];
    expect((await answer(call(bytes))).exit).toBe(0);
    const bad = [
      Uint8Array.of(...bytes, 0),
      bytes.slice(0, -1),
      new Uint8Array(der),
      '-----BEGIN PUBLIC KEY-----\n',
    ];
    for (const key of bad) {
      expect(await refusal(call(key))).toMatchObject(denial('e4', 'malformed-request') as object);
    }
  });

  it('--allow-spki still takes a TPM’s public area', async () => {
    const { exit, json } = await answer([...flags(), '--allow-spki', '--strict']);
    expect(exit).toBe(0);
    expect(json['key']).toMatchObject({ scheme: 'rsassa' });
  });
});

describe('wrong use', () => {
  it.each([
    ['a missing flag', flags({ ak: undefined })],
    ['an unknown flag', [...flags(), '--force']],
    ['a nonce that is not hexadecimal', flags({ nonce: 'xyz' })],
    ['a selection that can’t be read', flags({ select: 'sha256:99' })],
    ['a file that is not there', flags({ attest: '/nonexistent/quote.msg' })],
    ['PCR values that are not there', flags({ pcrs: '/nonexistent/pcrs.json' })],
    ['a directory', flags({ signature: '/tmp' })],
    ['an argument too many', [...flags(), 'more']],
  ])('%s ends with 2', async (_, argv) => {
    const { exit, json } = await answer(argv);
    expect(exit).toBe(2);
    expect(json).toMatchObject({ ok: false, denial: null });
    expect((await cli('verify', 'quote', ...argv)).stderr).not.toBe('');
  });
});
