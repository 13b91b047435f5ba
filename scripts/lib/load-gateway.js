// Run by gateway-manifest.js: loads what a gateway loads, the TPM's libraries included where they are installed.
import process from 'node:process';
import { pathToFileURL } from 'node:url';

const [, , dist] = process.argv;
const from = (file) => import(pathToFileURL(`${dist}/${file}`).href);
await from('src/cli/commands/index.js');
const { tryLockFile } = await from('native/index.js');
try {
  // Without a descriptor nothing is locked; the bindings are loaded all the same.
  tryLockFile(-1);
} catch (error) {
  process.stderr.write(`the gateway’s manifest is made without the TPM’s bindings: ${error.message}\n`);
}
