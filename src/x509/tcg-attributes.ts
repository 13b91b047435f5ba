import { refuse } from '../base/index.ts';
import type { Certificate } from './certificate.ts';
import { DerReader, TAG } from './der.ts';
import { attributeText, attributesOf } from './name.ts';
import { OID } from './oids.ts';

/** Who made the TPM, as the alternative name of an EK or AK certificate says (TCG EK Credential Profile §3.2.9). */
export interface TpmIdentity {
  /** `id:` and the eight hex digits of TPM_PT_MANUFACTURER. */
  readonly manufacturer: string;
  /** The manufacturer's four characters, e.g. `IFX`; undefined when they are no printable ASCII. */
  readonly vendorId: string | undefined;
  readonly model: string;
  /** Firmware version as written, mostly `id:` and hex digits. */
  readonly version: string;
}

/** The TPM library that was implemented (TCG EK Credential Profile §3.1.3). */
export interface TpmSpecification {
  readonly family: string;
  readonly level: number;
  readonly revision: number;
}

/** An attribute's text; manufacturers stay below 32 characters. */
const MAX_TEXT = 128;

/**
 * The TPM attributes of the subject alternative name's directory names: one RDN with three attributes or an RDN for
 * each, both occur. Each attribute exactly once.
 * @returns undefined when the certificate has none of them
 * @throws Refusal `x509-tcg-san` when some are missing, repeated or unreadable
 */
export function readTpmIdentity(certificate: Certificate): TpmIdentity | undefined {
  const attributes = (certificate.subjectAltName ?? []).flatMap((name) =>
    name.type === 'directory' ? attributesOf(name.name) : [],
  );
  const wanted = [OID.tpmManufacturer, OID.tpmModel, OID.tpmVersion];
  if (!attributes.some(({ oid }) => wanted.some((each) => each === oid))) return undefined;
  const [manufacturer = '', model = '', version = ''] = wanted.map((oid) => {
    const values = attributes.filter((attribute) => attribute.oid === oid);
    const [first] = values;
    if (first === undefined || values.length > 1) return wrong(`${String(values.length)} values of ${oid}`);
    return first.value;
  });
  if (!/^id:[0-9A-Fa-f]{8}$/.test(manufacturer)) wrong('tPMManufacturer is not id: and eight hex digits');
  for (const text of [model, version]) {
    if (text === '' || text.length > MAX_TEXT || text.startsWith('#'))
      wrong('tPMModel or tPMVersion is no text');
  }
  return Object.freeze({ manufacturer, vendorId: vendorId(manufacturer), model, version });
}

/** The tPMSpecification of the subject directory attributes; undefined when there is none. */
export function readTpmSpecification(certificate: Certificate): TpmSpecification | undefined {
  const extension = certificate.extensions.get(OID.subjectDirectoryAttributes);
  if (extension === undefined) return undefined;
  const file = new DerReader(extension.value, 'SubjectDirectoryAttributes');
  const list = file.sequence('SubjectDirectoryAttributes');
  file.end();
  let found: TpmSpecification | undefined;
  while (!list.atEnd) {
    const attribute = list.sequence('Attribute');
    const oid = attribute.oid('type');
    const values = attribute.inside(attribute.value(TAG.set, 'values'), 'values');
    attribute.end();
    if (oid !== OID.tpmSpecification) continue;
    if (found !== undefined) list.malformed('tPMSpecification twice');
    found = specification(values);
  }
  return found;
}

function specification(values: DerReader): TpmSpecification {
  const fields = values.sequence('TPMSpecification');
  values.end();
  const family = attributeText(fields.value(TAG.utf8String, 'family'), 'TPMSpecification');
  const level = fields.smallInteger('level', 0xffff_ffff);
  const revision = fields.smallInteger('revision', 0xffff_ffff);
  fields.end();
  return Object.freeze({ family, level, revision });
}

/** The four characters behind `id:`, without the NULs and blanks that fill them up. */
function vendorId(manufacturer: string): string | undefined {
  const text = Buffer.from(manufacturer.slice(3), 'hex')
    .toString('latin1')
    .replace(/[\0 ]+$/, '');
  return /^[\x21-\x7e]+$/.test(text) ? text : undefined;
}

function wrong(reason: string): never {
  return refuse('x509-tcg-san', `subject alternative name: ${reason}`);
}
