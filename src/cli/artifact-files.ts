import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { HashName, SignatureEnvelope, SignatureFormat } from '../artifact/index.ts';
import { LIMITS } from '../base/index.ts';
import { SIGNATURE_SUFFIX } from '../client/local/run-child.ts';
import { measureArtifact } from '../gateway/artifact/measure-artifact.ts';
import type { MeasuredArtifact } from '../gateway/artifact/measure-artifact.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';

/** The signature file beside an artifact; a directory may be named with a slash at its end. */
export function signaturePath(artifact: string, format: SignatureFormat): string {
  return `${path.resolve(artifact)}${SIGNATURE_SUFFIX[format]}`;
}

/** Measures what the caller named. @throws UsageError when it can't be opened */
export async function measureInput(
  file: string,
  hashes: readonly HashName[] = [],
): Promise<MeasuredArtifact> {
  try {
    return await measureArtifact(file, hashes);
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'syscall' in error) {
      throw new UsageError(`can't open ${file}: ${error.message}`);
    }
    throw error;
  }
}

/** Every signature file that lies beside the artifact. */
export function readBeside(artifact: string): SignatureEnvelope[] {
  const formats: readonly SignatureFormat[] = ['dsse', 'cms', 'ssh'];
  return formats
    .filter((format) => existsSync(signaturePath(artifact, format)))
    .map((format) => ({ format, bytes: readSignature(signaturePath(artifact, format)) }));
}

/** A named signature file; its content says which format it is. */
export function readNamed(file: string): SignatureEnvelope {
  const bytes = readSignature(file);
  return { format: formatOf(bytes), bytes };
}

function readSignature(file: string): Uint8Array {
  return readInput(file, 'signature', LIMITS.signature);
}

/** JSON is DSSE, OpenSSH's armor is SSHSIG, everything else has to be CMS. */
function formatOf(bytes: Uint8Array): SignatureFormat {
  const head = Buffer.from(bytes.slice(0, 64)).toString('latin1');
  if (head.trimStart().startsWith('{')) return 'dsse';
  return head.startsWith('-----BEGIN SSH SIGNATURE-----') ? 'ssh' : 'cms';
}

/** Writes a file whole or not at all. @throws UsageError when the directory can't be written */
export function writeWhole(file: string, content: Uint8Array | string): void {
  const temporary = `${file}.${String(process.pid)}.tmp`;
  try {
    writeFileSync(temporary, content, { flag: 'wx', mode: 0o644 });
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new UsageError(`can't write ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
