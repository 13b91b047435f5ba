import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/index.ts';
import { measureArtifact } from '../../src/gateway/artifact/measure-artifact.ts';
import { copyPrivately } from '../../src/gateway/artifact/private-copy.ts';
import { Reading, readArtifact } from '../../src/gateway/artifact/read-artifact.ts';
import { readTar } from '../../src/gateway/artifact/tar-stream.ts';
import type { TarEntry } from '../../src/gateway/artifact/tar-stream.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const base = temporaryDirectory();
chmodSync(base, 0o755);
const isRoot = process.getuid?.() === 0;
const me = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
/** An ordinary user, where there may be another one. */
const user = isRoot ? { uid: 12_345, gid: 12_345 } : me;

const fresh = (): string => {
  const directory = mkdtempSync(path.join(base, 'case-'));
  chmodSync(directory, 0o755);
  return directory;
};
const put = (directory: string, name: string, content: string | Uint8Array = name, mode = 0o644): string => {
  const file = path.join(directory, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
};
const tree = (make: (directory: string) => void): string => {
  const directory = path.join(fresh(), 'tree');
  mkdirSync(directory);
  put(directory, 'good', '#!/bin/sh\n', 0o755);
  make(directory);
  return directory;
};

describe('what a caller names', () => {
  it('is read with the caller’s rights: what only root may read is not', async () => {
    const secret = put(fresh(), 'secret', 'root’s own', 0o600);
    if (!isRoot) chmodSync(secret, 0);
    await expectRejection('artifact-unreadable', readArtifact(user, secret));
    const link = path.join(fresh(), 'link');
    symlinkSync(secret, link);
    await expectRejection('artifact-unreadable', readArtifact(user, link));
    const closed = fresh();
    put(closed, 'readable');
    chmodSync(closed, 0);
    await expectRejection('artifact-unreadable', readArtifact(user, path.join(closed, 'readable')));
    chmodSync(closed, 0o755);
    const within = tree((at) => put(at, 'secret', 'x', isRoot ? 0o600 : 0));
    await expectRejection('artifact-unreadable', readArtifact(user, within));
    await expectRejection('artifact-unreadable', readArtifact(user, path.join(base, 'nothing')));
  });

  it('is read although only the caller may', async () => {
    const closed = fresh();
    const mine = put(closed, 'mine', 'x', 0o400);
    for (const at of [mine, closed]) chownSync(at, user.uid, user.gid);
    chmodSync(closed, 0o700);
    expect((await readArtifact(user, mine)).measured.bytes).toBe(1);
  });

  // Root may read for everybody: that others may not is seen where this suite runs as somebody else.
  if (!isRoot)
    it('is not read for anybody else by a gateway that is not root', async () => {
      const file = put(fresh(), 'f');
      await expectRejection('caller-rights', readArtifact({ uid: me.uid + 1, gid: me.gid }, file));
    });

  it('blocks nobody and has no effect: FIFO, device, socket, a directory that is the root', async () => {
    const directory = fresh();
    execFileSync('mkfifo', [path.join(directory, 'fifo')]);
    await expectRejection('artifact-type', readArtifact(user, path.join(directory, 'fifo')));
    await expectRejection('artifact-type', readArtifact(user, '/dev/zero'));
    await expectRejection('artifact-type', readArtifact(user, '/'));
    const server = createServer();
    const within = tree(() => undefined);
    await new Promise<void>((resolve) => server.listen(path.join(within, 's'), resolve));
    await expectRejection('artifact-type', readArtifact(user, within));
    await new Promise((resolve) => server.close(resolve));
    const fifo = tree((at) => execFileSync('mkfifo', [path.join(at, 'p')]));
    await expectRejection('artifact-type', readArtifact(user, fifo));
  });

  it('may not gain rights, leave its tree, or be larger than anything that is signed', async () => {
    await expectRejection('artifact-setuid', readArtifact(user, put(fresh(), 'suid', 'x', 0o4755)));
    await expectRejection(
      'artifact-setuid',
      readArtifact(
        user,
        tree((at) => put(at, 'sgid', 'x', 0o2755)),
      ),
    );
    const leaving = tree((at) => {
      symlinkSync('/etc/passwd', path.join(at, 'out'));
    });
    await expectRejection('artifact-link', readArtifact(user, leaving));
    const huge = put(fresh(), 'huge', '');
    truncateSync(huge, 17 * 1024 ** 3);
    await expectRejection('artifact-limit', readArtifact(user, huge));
    const deep = tree((at) => {
      mkdirSync(path.join(at, ...new Array<string>(66).fill('d')), { recursive: true });
    });
    await expectRejection('artifact-limit', readArtifact(user, deep));
    const { manifest = new Uint8Array() } = (
      await readArtifact(
        user,
        tree(() => undefined),
      )
    ).measured;
    await expectRejection('artifact-type', readArtifact(user, put(fresh(), 'manifest', manifest)));
    const odd = tree((at) => {
      writeFileSync(Buffer.concat([Buffer.from(`${at}/`), Buffer.from([0xff])]), '');
    });
    await expectRejection('artifact-path', readArtifact(user, odd));
    const empty = path.join(fresh(), 'empty');
    mkdirSync(empty);
    await expectRejection('artifact-empty', readArtifact(user, empty));
  });

  it.runIf(isRoot)('has no file capabilities', async () => {
    const file = put(fresh(), 'net', 'x', 0o755);
    execFileSync('setcap', ['cap_net_raw+ep', file]);
    await expectRejection('artifact-capability', readArtifact(user, file));
  });

  it('has the digest that signing gives it, whatever its names are', async () => {
    const directory = tree((at) => {
      put(at, `${'n'.repeat(90)}/${'m'.repeat(120)}`, 'long');
      put(at, 'back\\slash\\n', 'x');
      put(at, 'é/-option', 'x', 0o600);
      chownSync(path.join(at, 'é/-option'), user.uid, user.gid);
      put(at, 'empty', '');
      linkSync(path.join(at, 'good'), path.join(at, 'same'));
      symlinkSync(`${'n'.repeat(90)}/${'m'.repeat(120)}`, path.join(at, 'link'));
      mkdirSync(path.join(at, 'nothing'), 0o755);
    });
    const read = await readArtifact(user, directory);
    expect(toHex(read.measured.digests.sha256)).toBe(
      toHex((await measureArtifact(directory)).digests.sha256),
    );
    for (const size of [0, 1, 511, 512, 513, 1_500_001]) {
      const file = put(fresh(), '-r [*] \\101', Buffer.alloc(size, 'sealgate '));
      const { measured } = await readArtifact(user, file);
      expect(measured).toEqual(await measureArtifact(file));
    }
  });
});

describe('a private copy', () => {
  it('is what was read, writable for nobody, with modes and links', async () => {
    const directory = tree((at) => {
      put(at, 'bin/run', 'x', 0o750);
      chownSync(path.join(at, 'bin/run'), user.uid, user.gid);
      symlinkSync('bin/run', path.join(at, 'start'));
    });
    const read = await readArtifact(user, directory);
    const copy = await copyPrivately(user, read, path.join(fresh(), 'copy'), true);
    expect(await measureArtifact(copy.path)).toEqual(read.measured);
    expect(lstatSync(copy.path).uid).toBe(me.uid);
    expect(lstatSync(path.join(copy.path, 'bin/run')).mode & 0o777).toBe(0o750);
    expect(copy.files.map((file) => path.relative(copy.path, file)).sort()).toEqual(['bin/run', 'good']);
  });

  it('is not made of what was written to since it was judged', async () => {
    const file = put(fresh(), 'f', 'signed');
    const before = await readArtifact(user, file);
    for (const content of ['Signed', 'signed and more', 'sign', '']) {
      writeFileSync(file, content);
      await expectRejection('artifact-changed', copyPrivately(user, before, path.join(fresh(), 'c'), true));
    }
    const directory = tree((at) => put(at, 'd/f'));
    const read = await readArtifact(user, directory);
    const swapped = { ...read, place: { parent: path.dirname(file), name: path.basename(file) } };
    await expectRejection('artifact-changed', copyPrivately(user, swapped, path.join(fresh(), 'c'), true));
    chmodSync(path.join(directory, 'd/f'), 0o755);
    await expectRejection('artifact-changed', copyPrivately(user, read, path.join(fresh(), 'c'), true));
  });
});

describe('an archive by a hostile reader', () => {
  const archive = (make: (at: string) => void, name = 'tree'): Buffer => {
    const at = fresh();
    mkdirSync(path.join(at, name));
    make(path.join(at, name));
    return execFileSync('tar', ['--create', '--format=gnu', '--file=-', '-C', at, `./${name}`]);
  };
  const entries = async (bytes: Uint8Array, chunk = 700): Promise<TarEntry[]> => {
    const found: TarEntry[] = [];
    const stream = (async function* () {
      for (let at = 0; at < bytes.length; at += chunk)
        yield await Promise.resolve(bytes.slice(at, at + chunk));
    })();
    await readTar(stream, (entry) => {
      found.push(entry);
      return Promise.resolve();
    });
    return found;
  };
  const good = archive((at) => {
    writeFileSync(path.join(at, 'a'), 'A'.repeat(1000));
  });
  const changed = (at: number, value: number): Uint8Array => {
    const bytes = Uint8Array.from(good);
    bytes[at] = value;
    return bytes;
  };
  const resummed = (bytes: Uint8Array): Uint8Array => {
    const header = bytes.subarray(0, 512);
    header.fill(32, 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
    return bytes;
  };

  it('is read whole, in whatever portions it comes', async () => {
    for (const chunk of [1, 511, 512, 100_000])
      expect((await entries(good, chunk)).map(({ type, size }) => [type, size])).toEqual([
        ['directory', 0],
        ['file', 1000],
      ]);
  });

  it.each<[string, Uint8Array]>([
    ['cut off in a header', good.subarray(0, 700)],
    ['cut off in a file', good.subarray(0, 1400)],
    ['without an end', good.subarray(0, 512 * 4)],
    ['empty', new Uint8Array()],
    ['with a wrong checksum', changed(0, 0x2f)],
    ['of another format', resummed(changed(257, 0x55))],
    ['with an unknown type', resummed(changed(156, 0x53))],
    ['with a directory that has content', resummed(changed(134, 0x31))],
    ['with a number that is none', resummed(changed(124, 0x2d))],
    ['with a number beyond all numbers', resummed(changed(124, 0x80))],
    ['with more after its end', Buffer.concat([good, Buffer.from('x')])],
    ['with zeros without end', Buffer.concat([good, Buffer.alloc(70_000)])],
  ])('is refused: %s', async (_name, bytes) => {
    await expectRejection('artifact-stream', entries(bytes));
  });
});

it('nothing is ever written through a link of the artifact', async () => {
  // As tar can be made to write it: a link, then a file below it.
  const at = fresh();
  const outside = fresh();
  mkdirSync(path.join(at, 'tree'));
  symlinkSync(outside, path.join(at, 'tree/x'));
  const first = execFileSync('tar', ['-c', '--format=gnu', '-f-', '-C', at, './tree']).subarray(0, 1024);
  const other = fresh();
  put(other, 'tree/x/owned', 'by the artifact');
  const second = execFileSync('tar', ['-c', '--format=gnu', '-f-', '-C', other, './tree/x/owned']);
  const hostile = path.join(fresh(), 'archive');
  writeFileSync(hostile, Buffer.concat([first, second]));
  expect(execFileSync('tar', ['-tf', hostile]).toString()).toBe('./tree/\n./tree/x\n./tree/x/owned\n');
  const written: string[] = [];
  const reading = new Reading(
    './tree',
    {
      directory: (name) => Promise.resolve(void written.push(name)),
      link: (name) => Promise.resolve(void written.push(name)),
      file: (name) => {
        written.push(name);
        return Promise.resolve(() => Promise.resolve());
      },
    },
    1000,
  );
  const stream = (async function* () {
    yield await Promise.resolve(readFileSync(hostile));
  })();
  await expectRejection(
    'artifact-path',
    readTar(stream, (entry, content) => reading.take(entry, content)),
  );
  expect(written).toEqual(['', 'x']);
  expect(readdirSync(outside)).toEqual([]);
  expect(existsSync(path.join(outside, 'owned'))).toBe(false);
});
