import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { isJsonObject, parseJsonObject, refuse } from '../base/index.ts';
import type { JsonValue } from '../base/index.ts';
import { parseCertificate, parsePem } from '../x509/index.ts';
import type { Certificate, TrustRole } from '../x509/index.ts';

/** One certificate of share/ek-roots: shipped, but not trusted until an operator adds it. */
export interface ShippedRoot {
  readonly vendor: string;
  readonly role: TrustRole;
  readonly certificate: Certificate;
}

/** Every shipped manufacturer certificate, checked against the fingerprints of the index. */
export function shippedRoots(): readonly ShippedRoot[] {
  const folder = shareFolder();
  const index = parseJsonObject(read(folder, 'index.json'), 'index of shipped roots', {
    maxBytes: 1024 * 1024,
  });
  const rows = index['certificates'];
  return (Array.isArray(rows) ? (rows as readonly JsonValue[]) : []).map((row) => shippedRoot(folder, row));
}

function shippedRoot(folder: string, row: JsonValue): ShippedRoot {
  const { vendor, file, fingerprint, role } = isJsonObject(row) ? row : {};
  if (
    typeof vendor !== 'string' ||
    typeof file !== 'string' ||
    (role !== 'anchor' && role !== 'intermediate')
  ) {
    return refuse('shipped-roots', 'the index of shipped roots is damaged');
  }
  const [der = new Uint8Array()] = parsePem(read(folder, file), 1);
  const certificate = parseCertificate(der);
  if (certificate.fingerprint !== fingerprint)
    refuse('shipped-roots', 'a shipped root is not the one that the index names', { file });
  return { vendor, role, certificate };
}

function read(folder: string, file: string): Uint8Array {
  return new Uint8Array(readFileSync(path.join(folder, file)));
}

/** share/ek-roots lies in the package, above the source as above the built files. */
function shareFolder(): string {
  for (let at = import.meta.dirname; ; at = path.dirname(at)) {
    const folder = path.join(at, 'share', 'ek-roots');
    if (existsSync(path.join(folder, 'index.json'))) return folder;
    if (path.dirname(at) === at) return refuse('shipped-roots', 'share/ek-roots is not in this installation');
  }
}
