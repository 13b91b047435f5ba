import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { mkdtempSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/index.ts';
import { refuseFileCapabilities } from '../../src/gateway/artifact/file-capabilities.ts';
import { hashFile } from '../../src/gateway/artifact/hash-file.ts';
import { measureArtifact } from '../../src/gateway/artifact/measure-artifact.ts';
import { tool } from '../support/artifact.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const base = temporaryDirectory();
const fresh = (): string => mkdtempSync(path.join(base, 'case-'));
const put = (directory: string, name: string, content: string | Uint8Array = name, mode = 0o644): string => {
  const file = path.join(directory, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
};
const sha = (hash: string, bytes: string | Uint8Array): string =>
  createHash(hash).update(bytes).digest('hex');
/** A directory with one good file, and whatever `make` adds. */
const tree = (make: (directory: string) => void): string => {
  const directory = fresh();
  put(directory, 'good');
  make(directory);
  return directory;
};

describe('a file', () => {
  it('has the digests that other tools give, whatever its size', async () => {
    for (const size of [0, 1, 4095, 1024 * 1024, 1024 * 1024 + 1, 3_000_001]) {
      const content = Buffer.alloc(size, 'sealgate ');
      const file = put(fresh(), 'f', content);
      const { type, digests, files, bytes, manifest } = await measureArtifact(file, ['sha384', 'sha512']);
      expect({ type, files, bytes, manifest }).toEqual({
        type: 'file',
        files: 1,
        bytes: size,
        manifest: undefined,
      });
      expect(toHex(digests.sha256)).toBe(sha('sha256', content));
      expect(toHex(digests.sha384!)).toBe(sha('sha384', content));
      expect(toHex(digests.sha512!)).toBe(sha('sha512', content));
    }
  });

  it('may be named by a symbolic link', async () => {
    const directory = fresh();
    symlinkSync(put(directory, 'f'), path.join(directory, 'l'));
    expect(toHex((await measureArtifact(path.join(directory, 'l'))).digests.sha256)).toBe(sha('sha256', 'f'));
  });

  it('has no set-ID bits, is no FIFO, no socket, no device, no manifest', async () => {
    const directory = fresh();
    await expectRejection('artifact-setuid', measureArtifact(put(directory, 'suid', 'x', 0o4755)));
    await expectRejection('artifact-setuid', measureArtifact(put(directory, 'sgid', 'x', 0o2755)));
    tool(directory, 'mkfifo', ['fifo']);
    await expectRejection('artifact-type', measureArtifact(path.join(directory, 'fifo')));
    await expectRejection('artifact-type', measureArtifact('/dev/null'));
    const manifest = (await measureArtifact(tree(() => undefined))).manifest!;
    await expectRejection('artifact-type', measureArtifact(put(directory, 'manifest', manifest)));
  });

  it('that is not there is a file system error', async () => {
    await expect(measureArtifact(path.join(fresh(), 'nothing'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('a tree', () => {
  it('is what its manifest says; the manifest can be made with other tools', async () => {
    const directory = tree((at) => {
      put(at, 'bin/run', '#!/bin/sh\n', 0o755);
      put(at, 'lib/é', 'x');
      symlinkSync('bin/run', path.join(at, 'start'));
      mkdirSync(path.join(at, 'empty'));
      chmodSync(path.join(at, 'empty'), 0o700);
    });
    chmodSync(path.join(directory, 'bin'), 0o755);
    chmodSync(path.join(directory, 'lib'), 0o755);
    const { type, digests, files, bytes, manifest } = await measureArtifact(directory, ['sha512']);
    expect({ type, files, bytes }).toEqual({ type: 'tree', files: 3, bytes: 4 + 10 + 1 });
    // The script of docs/ARTIFACTS.md.
    const script = `printf 'sealgate-tree/v1\\0'
      find . -mindepth 1 -printf '%P\\n' | LC_ALL=C sort | while IFS= read -r path; do
        if [ -L "$path" ]; then printf 'link\\0%s\\0%s\\0' "$(readlink "$path")" "$path"
        elif [ -d "$path" ]; then printf 'dir\\0%04o\\0%s\\0' "0$(stat -c %a "$path")" "$path"
        else printf 'file\\0%04o\\0%s\\0%s\\0%s\\0' "0$(stat -c %a "$path")" "$(stat -c %s "$path")" "$(sha256sum < "$path" | cut -c1-64)" "$path"
        fi
      done`;
    expect(tool(directory, 'sh', ['-c', script])).toBe(Buffer.from(manifest!).toString('utf8'));
    expect(toHex(digests.sha256)).toBe(sha('sha256', manifest!));
    expect(toHex(digests.sha512!)).toBe(sha('sha512', manifest!));
  });

  it('does not depend on where it is, when, or who owns it', async () => {
    const one = tree((at) => put(at, 'd/f'));
    const two = `${one}-moved`;
    const { digests } = await measureArtifact(one);
    tool(base, 'cp', ['-r', '--preserve=mode', one, two]);
    tool(two, 'touch', ['-d', '2001-01-01', 'd/f']);
    expect((await measureArtifact(two)).digests).toEqual(digests);
    symlinkSync(two, `${two}-link`);
    expect((await measureArtifact(`${two}-link`)).digests).toEqual(digests);
  });

  it.each<[string, string, (directory: string) => void]>([
    [
      'a link out of the tree',
      'artifact-link',
      (at) => {
        symlinkSync('/etc/passwd', path.join(at, 'l'));
      },
    ],
    [
      'a link above the root',
      'artifact-link',
      (at) => {
        symlinkSync('../x', path.join(at, 'l'));
      },
    ],
    [
      'a FIFO',
      'artifact-type',
      (at) => {
        tool(at, 'mkfifo', ['p']);
      },
    ],
    [
      'a set-user-ID file',
      'artifact-setuid',
      (at) => {
        put(at, 's', 's', 0o4755);
      },
    ],
    [
      'a set-group-ID directory',
      'artifact-setuid',
      (at) => {
        mkdirSync(path.join(at, 'd'));
        chmodSync(path.join(at, 'd'), 0o2755);
      },
    ],
    [
      'a hard link from outside',
      'artifact-hard-link',
      (at) => {
        linkSync(put(fresh(), 'outside'), path.join(at, 'h'));
      },
    ],
    [
      'a name that is not UTF-8',
      'artifact-path',
      (at) => {
        writeFileSync(Buffer.concat([Buffer.from(`${at}/`), Buffer.from([0xff])]), '');
      },
    ],
    [
      'directories without end',
      'artifact-limit',
      (at) => {
        mkdirSync(path.join(at, ...new Array<string>(66).fill('d')), { recursive: true });
      },
    ],
  ])('with %s is refused', async (_name, check, make) => {
    const directory = tree(make);
    await expectRejection(check, measureArtifact(directory));
  });

  it('with a socket is refused', async () => {
    const directory = tree(() => undefined);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path.join(directory, 's'), resolve));
    await expectRejection('artifact-type', measureArtifact(directory));
    await new Promise((resolve) => server.close(resolve));
  });

  it('without files is refused', async () => {
    await expectRejection('artifact-empty', measureArtifact(fresh()));
  });

  it('hard links inside are fine', async () => {
    const directory = tree((at) => {
      linkSync(path.join(at, 'good'), path.join(at, 'same'));
    });
    expect(await measureArtifact(directory)).toMatchObject({ files: 2, bytes: 8 });
  });
});

// Setting a file capability needs CAP_SETFCAP; without it the kernel says so and there is nothing to find.
describe('file capabilities', () => {
  const canSet = process.getuid?.() === 0;

  it.runIf(canSet)('are refused, on the file itself and in a tree', async () => {
    const directory = tree((at) => {
      put(at, 'd/net', 'x', 0o755);
    });
    const file = path.join(directory, 'd/net');
    tool(directory, 'setcap', ['cap_net_raw+ep', file]);
    await expectRejection('artifact-capability', measureArtifact(file));
    await expectRejection('artifact-capability', measureArtifact(directory));
    symlinkSync(directory, `${directory}-link`);
    await expectRejection('artifact-capability', measureArtifact(`${directory}-link`));
    tool(directory, 'setcap', ['-r', file]);
    expect((await measureArtifact(directory)).files).toBe(2);
  });

  it('that can’t be looked for are refused', async () => {
    const file = put(fresh(), 'f');
    await expectRejection('artifact-capability', refuseFileCapabilities(file, ['/nowhere/getcap']));
    await expectRejection('artifact-capability', refuseFileCapabilities(file, ['/bin/false']));
  });
});

describe('a file that is written to while it is hashed', () => {
  it('is refused', async () => {
    const file = put(fresh(), 'f', Buffer.alloc(48_000_000));
    const writer = openSync(file, 'r+');
    const handle = await open(file, 'r');
    const state = { hashing: true };
    const refused = expectRejection(
      'artifact-changed',
      hashFile(handle, []).finally(() => (state.hashing = false)),
    );
    // Between any two reads; the size stays the same.
    while (state.hashing) {
      writeSync(writer, 'x', 47_999_999);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await refused;
    closeSync(writer);
    await handle.close();
  });

  it('a name that becomes another object is refused or not seen, never followed', async () => {
    const directory = tree((at) => {
      for (let i = 0; i < 40; i++) put(at, `f${String(i)}`, Buffer.alloc(200_000));
    });
    const measuring = measureArtifact(directory).then(
      () => 'measured',
      (error: unknown) => (error as { check?: string }).check ?? String(error),
    );
    const last = path.join(directory, 'f39');
    renameSync(last, path.join(base, 'moved-away'));
    symlinkSync('/etc/passwd', last);
    expect(['artifact-link', 'artifact-changed']).toContain(await measuring);
  });
});
