import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { verifyInstallation } from '../../src/gateway/index.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const SELF = 'dist/src/gateway/installation.js';

/** An installation of a few files, and a library of the system's. */
function install(): {
  root: string;
  self: string;
  library: string;
  write: (name: string, text: string) => void;
} {
  const root = path.join(temporaryDirectory(), 'sealgate');
  const library = path.join(temporaryDirectory(), 'libc.so.6');
  const write = (name: string, text: string): void => {
    const file = path.join(root, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  };
  const contents = { [SELF]: 'self', 'dist/src/cli/main.js': 'main', 'node_modules/a/a.node': 'addon' };
  for (const [name, text] of Object.entries(contents)) write(name, text);
  writeFileSync(library, 'libc');
  const files = Object.fromEntries(
    Object.entries(contents).map(([name, text]) => [path.join(root, name), sha256(text)]),
  );
  write('dist/sealgate.manifest.json', JSON.stringify({ files: { ...files, [library]: sha256('libc') } }));
  return { root, self: pathToFileURL(path.join(root, SELF)).href, library, write };
}

describe('an installation', () => {
  it('is what was built: every file that its manifest names is read', async () => {
    const { self } = install();
    expect(await verifyInstallation(self)).toEqual({ state: 'verified', files: 4, changed: [] });
  });

  it('runs from source without a manifest, and says so', async () => {
    expect(await verifyInstallation()).toEqual({ state: 'source', files: 0, changed: [] });
  });

  it.each(['dist/src/cli/main.js', 'node_modules/a/a.node', SELF])(
    'with another %s is refused',
    async (name) => {
      const changed = install();
      changed.write(name, 'something else');
      const { detail } = await expectRejection('gateway-changed', verifyInstallation(changed.self));
      expect(detail).toEqual({ file: path.join(changed.root, name) });
      const gone = install();
      if (name === SELF) return;
      rmSync(path.join(gone.root, name));
      await expectRejection('gateway-changed', verifyInstallation(gone.self));
    },
  );

  it('whose system was updated names what is another library now', async () => {
    const { self, library } = install();
    writeFileSync(library, 'libc of next week');
    expect(await verifyInstallation(self)).toEqual({ state: 'verified', files: 3, changed: [library] });
  });

  it('that was built elsewhere is compared in what is Sealgate’s own', async () => {
    const { root, self, write } = install();
    const manifest = path.join(root, 'dist/sealgate.manifest.json');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replaceAll(`"${root}/`, '"/build/sealgate/'));
    expect(await verifyInstallation(self)).toEqual({ state: 'relocated', files: 2, changed: [] });
    write('dist/src/cli/main.js', 'something else');
    await expectRejection('gateway-changed', verifyInstallation(self));
  });

  it.each<[string, (root: string) => string]>([
    ['that is no JSON', () => 'nothing'],
    ['with more members', () => '{"files":{},"more":1}'],
    ['of something else', () => `{"files":{"/bin/sh":"${'0'.repeat(64)}"}}`],
    ['with a digest that is none', (root) => `{"files":{"${root}/${SELF}":"abc"}}`],
  ])('with a manifest %s is refused', async (_name, text) => {
    const { root, self, write } = install();
    write('dist/sealgate.manifest.json', text(root));
    await expect(verifyInstallation(self)).rejects.toMatchObject({
      check: expect.stringMatching(/^(?:gateway-installation|malformed)$/) as string,
    });
  });

  it('without a manifest is refused', async () => {
    const { root, self } = install();
    rmSync(path.join(root, 'dist/sealgate.manifest.json'));
    await expectRejection('gateway-installation', verifyInstallation(self));
  });
});
