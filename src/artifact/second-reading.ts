import { createRequire } from 'node:module';
import type * as Pkijs from 'pkijs';
import { equalBytes, refuse } from '../base/index.ts';

/** What a first reading found. */
interface FirstReading {
  readonly certificates: readonly Uint8Array[];
  readonly signatures: readonly { readonly signature: Uint8Array }[];
}

/**
 * Reads a CMS file a second time, with pkijs, and compares what its verification rests on: detached content, the
 * certificates, each signer's signature and signed attributes. What two parsers understand in two ways is refused.
 * @param der the SignedData's ContentInfo
 * @throws Refusal `cms-second-reading`
 */
export function requireSameReading(der: Uint8Array, { certificates, signatures }: FirstReading): void {
  const other = read(der);
  const differs = (what: string): never =>
    refuse('cms-second-reading', `two parsers read another ${what} in the CMS file`, { what });
  if (other.encapContentInfo.eContent !== undefined) differs('content');
  const others = (other.certificates ?? []).map(
    (certificate) => new Uint8Array(certificate.toSchema().toBER()),
  );
  if (others.length !== certificates.length) differs('number of certificates');
  certificates.forEach((certificate, i) => {
    if (!equalBytes(certificate, others[i] ?? new Uint8Array())) differs('certificate');
  });
  if (other.signerInfos.length !== signatures.length) differs('number of signers');
  signatures.forEach(({ signature }, i) => {
    const info = other.signerInfos[i];
    const bytes = new Uint8Array(info?.signature.valueBlock.valueHexView ?? []);
    if (!equalBytes(signature, bytes)) differs('signature');
    if (info?.signedAttrs === undefined) differs('list of signed attributes');
  });
}

let pkijs: typeof Pkijs | undefined;

/** Loaded with the first CMS file: most programs that could read one never do. */
function secondParser(): typeof Pkijs {
  return (pkijs ??= createRequire(import.meta.url)('pkijs') as typeof Pkijs);
}

function read(der: Uint8Array): Pkijs.SignedData {
  // Outside of what is caught: a parser that isn't there is no unreadable file.
  const { ContentInfo, SignedData } = secondParser();
  try {
    return new SignedData({ schema: ContentInfo.fromBER(Uint8Array.from(der)).content as object });
  } catch {
    return refuse('cms-second-reading', 'a second parser can’t read the CMS file');
  }
}
