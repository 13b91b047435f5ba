import { closeSync, openSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { SharedLibrary } from '../../native/ffi.ts';
import type { Argument } from '../../native/ffi.ts';
import { peerAddress, peerCredentials } from '../../native/libc.ts';
import { LIBRARIES, loadLibrary } from '../../native/library.ts';
import { OutSlot, copyText } from '../../native/memory.ts';
import { toStructure } from '../../native/mu.ts';
import { parseRc, rcText } from '../../native/rc.ts';
import { BASE, FORMAT_ONE, FORMAT_ZERO, WARNING } from '../../native/rc-names.ts';
import { isTpmError, tpmError } from '../../native/tpm-error.ts';
import { expectRefusal } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const directory = temporaryDirectory();

describe('a function of a library', () => {
  const c = new SharedLibrary('libc.so.6');

  it('is called at once or on the pool', async () => {
    const abs = c.function('abs', 'i32', ['i32']);
    expect(abs(-5)).toBe(5);
    expect(await abs.start(-7)).toBe(7);
    expect(c.function('abs', 'i32', ['i32'])).toBe(abs);
  });

  // ffi-napi turns each of these into a number without a word.
  const wrong: readonly (readonly [string, unknown])[] = [
    ['undefined', undefined],
    ['null', null],
    ['text', '5'],
    ['a fraction', 0.5],
    ['NaN', Number.NaN],
    ['over the range', 2 ** 31],
    ['under the range', -(2 ** 31) - 1],
    ['a Buffer', Buffer.alloc(4)],
  ];
  it.each(wrong)('refuses %s as an int', async (_, value) => {
    const abs = c.function('abs', 'i32', ['i32']);
    const argument = value as Argument; // what a caller without types would pass
    expect(() => abs(argument)).toThrow(/^abs: argument 1/);
    await expect(abs.start(argument)).rejects.toThrow(/^abs: argument 1/);
  });

  it('refuses memory without bytes, text with NUL, and a wrong number of arguments', () => {
    const strlen = c.function('strlen', 'size', ['text']);
    expect(strlen('four')).toBe(4);
    expect(() => strlen('fo\0ur')).toThrow('NUL');
    expect(() => strlen(4)).toThrow(TypeError);
    expect(() => strlen()).toThrow('takes 1 arguments');
    const memset = c.function('memset', 'address', ['memory', 'i32', 'size']);
    expect(() => memset(Buffer.alloc(0), 0, 0)).toThrow(TypeError);
    expect(() => memset(new Uint8Array(4) as Buffer, 0, 4)).toThrow(TypeError);
    const memory = Buffer.alloc(4);
    expect(memset(memory, 1, 4)).toBeGreaterThan(4096);
    expect(memory).toEqual(Buffer.from([1, 1, 1, 1]));
  });

  it('that the library doesn’t have is an error', () => {
    expect(() => c.function('no_such_function', 'void', [])).toThrow('no_such_function');
  });

  it('gives text that belongs to C, bounded', () => {
    const strerror = c.function('strerror', 'address', ['i32']);
    expect(copyText(strerror(2))).toBe('No such file or directory');
    expect(copyText(strerror(2), 7)).toBe('No such');
    expect(copyText(0)).toBe('');
    expect(new OutSlot(7).address).toBe(7);
  });
});

describe('a library that is missing', () => {
  it('is named with the Debian package that has it', () => {
    const refusal = expectRefusal('tpm-library', () =>
      loadLibrary({ soname: 'libtss2-nowhere.so.0', debian: 'libtss2-nowhere0' }),
    );
    expect(refusal.reason).toBe('libtss2-nowhere.so.0 is not installed: apt-get install libtss2-nowhere0');
  });

  it('is told apart from one that is broken', () => {
    const broken = path.join(directory, 'libbroken.so');
    writeFileSync(broken, 'not a library');
    const refusal = expectRefusal('tpm-library', () =>
      loadLibrary({ soname: broken, debian: 'some-package' }),
    );
    expect(refusal.reason).toContain("can't be loaded");
  });

  it('is none of those that this machine needs', () => {
    for (const library of Object.values(LIBRARIES)) expect(loadLibrary(library)).toBe(loadLibrary(library));
  });
});

describe('response codes', () => {
  it.each([
    [0x98e, { layer: 'tpm', name: 'TPM_RC_AUTH_FAIL', session: 1 }],
    [0x1c4, { layer: 'tpm', name: 'TPM_RC_VALUE', parameter: 1 }],
    [0x18b, { layer: 'tpm', name: 'TPM_RC_HANDLE', handle: 1 }],
    [0x5d5, { layer: 'tpm', name: 'TPM_RC_SIZE', parameter: 5 }],
    [0x101, { layer: 'tpm', name: 'TPM_RC_FAILURE' }],
    [0x128, { layer: 'tpm', name: 'TPM_RC_PCR_CHANGED' }],
    [0x921, { layer: 'tpm', name: 'TPM_RC_LOCKOUT' }],
    [0xa000a, { layer: 'tcti', name: 'TSS2_TCTI_RC_IO_ERROR' }],
    [0x70018, { layer: 'esys', name: 'TSS2_ESYS_RC_BAD_TR' }],
    [0x9000b, { layer: 'mu', name: 'TSS2_MU_RC_BAD_VALUE' }],
    [0xc0101, { layer: 'tpm', name: 'TPM_RC_FAILURE' }],
    [0x17f, { layer: 'tpm', name: 'TSS2_RC_0x17f' }],
    [0x2a0099, { layer: 'unknown', name: 'TSS2_RC_0x2a0099' }],
  ] as const)('%x is taken apart', (code, expected) => {
    expect(parseRc(code)).toEqual({ code, ...expected });
  });

  it('have the names of which libtss2-rc has the texts', () => {
    const tables = [
      [FORMAT_ONE, 0x080],
      [FORMAT_ZERO, 0x100],
      [WARNING, 0x900],
      [BASE, 0x70000],
    ] as const;
    for (const [names, base] of tables) {
      for (const [number, name] of Object.entries(names)) {
        const text = rcText(base + Number(number));
        expect(text, name).toMatch(/:.{4,}/);
        expect(text, name).not.toMatch(/0x[0-9A-F]+$/i);
      }
    }
  });

  it('become errors with command, numbers and text', () => {
    const error = tpmError(0x98e, 'TPM2_Quote');
    expect(error).toMatchObject({
      check: 'tpm-authorization',
      code: 0x98e,
      layer: 'tpm',
      name: 'TPM_RC_AUTH_FAIL',
      session: 1,
      handle: undefined,
      parameter: undefined,
      command: 'TPM2_Quote',
      text: 'tpm:session(1):the authorization HMAC check failed and DA counter incremented',
    });
    expect(error.reason).toBe(
      'TPM2_Quote: TPM_RC_AUTH_FAIL for session 1 (tpm:session(1):the authorization HMAC check failed and DA counter incremented)',
    );
    expect(error.detail).toEqual({
      command: 'TPM2_Quote',
      code: '0x98e',
      layer: 'tpm',
      name: 'TPM_RC_AUTH_FAIL',
      session: 1,
    });
    expect(isTpmError(error, 'TPM_RC_AUTH_FAIL')).toBe(true);
    expect(isTpmError(error, 'TPM_RC_VALUE')).toBe(false);
    expect(isTpmError(new Error('x'), 'Error')).toBe(false);
  });

  it.each([
    [0x101, 'tpm-failure-mode'],
    [0x100, 'tpm-not-started'],
    [0x921, 'tpm-lockout'],
    [0x9a2, 'tpm-authorization'],
    [0xa000a, 'tpm-unreachable'],
    [0x1c4, 'tpm-command'],
  ])('%x is the check %s', (code, check) => {
    expect(tpmError(code, 'TPM2_X').check).toBe(check);
  });
});

describe('structures for C', () => {
  it('are refused with trailing bytes, short, and over their own size', () => {
    expect(() => toStructure('TPM2B_DIGEST', Uint8Array.of(0, 1, 7, 8))).toThrow('trailing bytes');
    expectRefusal('tpm-command', () => toStructure('TPM2B_DIGEST', Uint8Array.of(0, 2, 7)));
    expectRefusal('tpm-command', () => toStructure('TPM2B_DIGEST', new Uint8Array()));
    expectRefusal('tpm-command', () =>
      toStructure('TPM2B_DIGEST', Uint8Array.of(0, 65, ...new Uint8Array(65))),
    );
    expect(() => toStructure('TPM2B_DIGEST', new Uint8Array(5000))).toThrow(RangeError);
  });

  it('stay in their room, the largest too', () => {
    // What the C side writes last must lie inside: a structure at its maximum, then an untouched tail.
    const nv = toStructure('TPM2B_MAX_NV_BUFFER', Uint8Array.of(8, 0, ...new Uint8Array(2048).fill(0xaa)));
    expect(nv.memory.lastIndexOf(0xaa)).toBeLessThan(nv.memory.length - 1024);
    const count = 16;
    const list = [
      0,
      0,
      0,
      count,
      ...Array.from({ length: count }, () => [0, 0x0d, ...new Uint8Array(64).fill(0xaa)]).flat(),
    ];
    const digests = toStructure('TPML_DIGEST_VALUES', Uint8Array.from(list));
    expect(digests.memory.lastIndexOf(0xaa)).toBeLessThan(digests.memory.length - 1024);
    nv.release();
    expect(nv.memory.every((byte) => byte === 0)).toBe(true);
  });
});

describe('the C library', () => {
  it('tells who is at the other end of a Unix socket', async () => {
    const socketPath = path.join(directory, 'peer');
    const server = createServer().listen(socketPath);
    await once(server, 'listening');
    const client = connect(socketPath);
    const [accepted] = (await once(server, 'connection')) as [Socket];
    expect(peerCredentials(descriptorOf(accepted))).toEqual({
      pid: process.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    });
    expect(peerAddress(descriptorOf(client))).toBe(socketPath);
    client.destroy();
    accepted.destroy();
    server.close();
  });

  it('refuses sockets of other kinds, and what is no socket', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const client = connect(port, '127.0.0.1');
    const [accepted] = (await once(server, 'connection')) as [Socket];
    expect(() => peerCredentials(descriptorOf(accepted))).toThrow('no peer credentials');
    const file = openSync(import.meta.filename, 'r');
    expect(() => peerCredentials(file)).toThrow('no peer credentials');
    expect(peerAddress(file)).toBeNull();
    closeSync(file);
    expect(peerAddress(descriptorOf(client))).toBe(port);
    client.destroy();
    accepted.destroy();
    server.close();
  });
});

/** Node has no public way to a socket's descriptor. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  if (typeof fd !== 'number') throw new Error('no descriptor');
  return fd;
}
