// sealgate.manifest.json: what a gateway of this build consists of on this machine. The agent reads it when it starts, and
// IMA's list is compared with it.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const sha256 = (file) => createHash('sha256').update(readFileSync(file)).digest('hex');

/** The TPM software stack that node-tpm2 loads by name. */
const STACK = [
  'libtss2-tctildr.so.0',
  'libtss2-mu.so.0',
  'libtss2-esys.so.0',
  'libtss2-rc.so.0',
  'libtss2-tcti-device.so.0',
];

/** Where the dynamic loader finds a library. */
function installed(name) {
  // A build elsewhere than on Linux has no gateway that could be measured.
  if (!existsSync('/sbin/ldconfig')) return undefined;
  const cache = execFileSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8', env: {} });
  const line = cache.split('\n').find((entry) => entry.trim().startsWith(`${name} `));
  return line?.split(' => ')[1];
}

/** What a program or library itself loads. */
function needs(file) {
  if (!existsSync('/usr/bin/ldd')) return [];
  const out = execFileSync('/usr/bin/ldd', [file], { encoding: 'utf8', env: {} });
  return [...out.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map(([, found]) => found);
}

/** Files below a directory that are code. */
function filesBelow(directory) {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.(?:js|json|node|wasm)$/.test(entry.name))
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
}

/** What of other packages a gateway loads, found out by loading it: JavaScript, JSON and native addons. */
function loadedPackages(root) {
  const scripts = path.join(root, 'scripts', 'lib');
  const directory = mkdtempSync(path.join(os.tmpdir(), 'sealgate-trace-'));
  const target = path.join(directory, 'loaded');
  try {
    const preload = ['--import', path.join(scripts, 'trace-loads.js')];
    execFileSync(
      process.execPath,
      [...preload, path.join(scripts, 'load-gateway.js'), path.join(root, 'dist')],
      {
        env: { SEALGATE_TRACE: target },
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    );
    const loaded = readFileSync(target, 'utf8').split('\n');
    return loaded.filter((file) => file.includes('/node_modules/'));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Writes the manifest: `{"files": {"/path": "sha256 hex"}}`, by real paths, in their order. */
export function writeManifest(root) {
  const target = path.join(root, 'dist', 'sealgate.manifest.json');
  const node = realpathSync(process.execPath);
  const stack = STACK.flatMap((name) => installed(name) ?? []);
  const packages = loadedPackages(root);
  const native = [node, ...stack, ...packages.filter((file) => file.endsWith('.node'))];
  const libraries = native.flatMap((file) => [file, ...needs(file)]);
  const files = [...filesBelow(path.join(root, 'dist')), ...packages, ...libraries]
    .filter((file) => file !== target && existsSync(file))
    .map((file) => realpathSync(file));
  const entries = [...new Set(files)].sort().map((file) => [file, sha256(file)]);
  writeFileSync(target, `${JSON.stringify({ files: Object.fromEntries(entries) }, null, 2)}\n`);
}
