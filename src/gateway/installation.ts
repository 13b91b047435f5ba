import { open, readFile, realpath } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseJsonObject, refuse, shape, toHex } from '../base/index.ts';
import type { Fail } from '../base/index.ts';
import { hashFile } from './artifact/hash-file.ts';

/** What a program found out about its own files. */
export interface Installation {
  /**
   * `verified`: every file is as it was built; `relocated`: built elsewhere, of which only Sealgate's own files could be
   * compared; `source`: run from source, which has no manifest.
   */
  readonly state: 'verified' | 'relocated' | 'source';
  /** Files that were read and are as the manifest says. */
  readonly files: number;
  /** Files of the system (Node, libraries) that are others now: their updates are the distribution's. */
  readonly changed: readonly string[];
}

const MANIFEST = 'sealgate.manifest.json';
const MAX_BYTES = 8 * 1024 * 1024;
/** This file below the root, as built. */
const SELF = path.join('dist', 'src', 'gateway', 'installation.js');

const manifestShape = shape.object({
  files: shape.map(/^\/[^\0]+$/, shape.hex32, 50_000),
});
const fail: Fail = (at, want) => refuse('gateway-installation', `${at} is not ${want}`, { file: MANIFEST });

/**
 * Reads this installation's manifest and every file that it names: they are as they were built, and where IMA measures what
 * root reads, the kernel has now measured all of them, so that the verifier can ask for them (`gateway-measured`).
 * @param self URL of this module, or of a copy of it in a tree that is built the same
 * @throws Refusal `gateway-installation` for a manifest that isn't there or is none, `gateway-changed` for a file of
 *   Sealgate's, or of a package that it loads, that is another one
 */
export async function verifyInstallation(self: string = import.meta.url): Promise<Installation> {
  const module = await realpath(fileURLToPath(self));
  if (module.endsWith('.ts')) return { state: 'source', files: 0, changed: [] };
  const root = module.slice(0, -SELF.length - 1);
  const built = await readManifest(root);
  const origin = originOf(built);
  const own = (file: string): boolean => file.startsWith(`${origin}/`);
  const relocated = origin !== root;
  const mine = [...built].filter(([file]) => (relocated ? file.startsWith(`${origin}/dist/`) : own(file)));
  for (const [file, sha256] of mine) {
    const here = path.join(root, file.slice(origin.length + 1));
    if ((await sha256Of(here)) !== sha256)
      refuse('gateway-changed', 'a file of this installation is not the one that was built', { file: here });
  }
  if (relocated) return { state: 'relocated', files: mine.length, changed: [] };
  const system = [...built].filter(([file]) => !own(file));
  const changed: string[] = [];
  for (const [file, sha256] of system) if ((await sha256Of(file)) !== sha256) changed.push(file);
  return { state: 'verified', files: built.size - changed.length, changed };
}

async function readManifest(root: string): Promise<ReadonlyMap<string, string>> {
  const file = path.join(root, 'dist', MANIFEST);
  const bytes = await readFile(file).catch(() =>
    refuse('gateway-installation', 'this installation has no manifest', { file }),
  );
  if (bytes.length > MAX_BYTES) fail('the manifest', `at most ${String(MAX_BYTES)} bytes`);
  const limits = { maxBytes: MAX_BYTES, maxDepth: 3, maxValues: 60_000 };
  const { files } = manifestShape(parseJsonObject(bytes, MANIFEST, limits), 'manifest', fail);
  return new Map(Object.entries(files));
}

/** The root that it was built in: where it names this very file. */
function originOf(built: ReadonlyMap<string, string>): string {
  const [self, ...more] = [...built.keys()].filter((file) => file.endsWith(`/${SELF}`));
  if (self === undefined || more.length > 0) return fail('the manifest', 'one of a gateway');
  return self.slice(0, -SELF.length - 1);
}

/** Hex; of what is no file or isn't there the empty text, which no file has. */
async function sha256Of(file: string): Promise<string> {
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return '';
  try {
    return (await handle.stat()).isFile() ? toHex((await hashFile(handle, [])).digests.sha256) : '';
  } finally {
    await handle.close();
  }
}
