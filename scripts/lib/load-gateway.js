// Run by gateway-manifest.js: loads what a gateway loads, the TPM's libraries included where they are installed.
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

const [, , dist] = process.argv;
const from = (file) => import(pathToFileURL(path.join(dist, file)).href);

// Commands are loaded when they are called: all of them here, since any may run beside the gateway as root.
const { COMMANDS } = await from('src/cli/commands/index.js');
for (const { load } of COMMANDS) await load();

/** Packages that a file loads only by a call, in `import('…')` or `require('…')`. */
function packagesByCall(file) {
  const calls = readFileSync(file, 'utf8').matchAll(
    /(?:\bimport|\brequire|createRequire\([^)]*\))\('([^'.][^']*)'\)/g,
  );
  // Only from TypeScript: a loader that no installation has.
  return [...calls]
    .map(([, name]) => name)
    .filter((name) => !name.startsWith('node:') && !name.startsWith('tsx/'));
}

// What is in native/ is loaded below, where it may be missing.
const files = readdirSync(path.join(dist, 'src'), { recursive: true }).filter((file) => file.endsWith('.js'));
for (const file of files) {
  const absolute = path.join(dist, 'src', file);
  const require = createRequire(absolute);
  for (const name of packagesByCall(absolute)) {
    // As the file itself would: a package of two kinds has other files for each.
    if (readFileSync(absolute, 'utf8').includes(`import('${name}')`)) await import(name);
    else require(name);
  }
}

const { tryLockFile } = await from('native/index.js');
try {
  // Without a descriptor nothing is locked; the bindings are loaded all the same.
  tryLockFile(-1);
} catch (error) {
  process.stderr.write(`the gateway’s manifest is made without the TPM’s bindings: ${error.message}\n`);
}
