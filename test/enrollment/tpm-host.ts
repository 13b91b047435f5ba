import { generateKeyPairSync } from 'node:crypto';
import type { Tpm, TpmObject } from '../../native/index.ts';
import { Writer, toBase64url } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { enrollmentDigest, enrollmentQualifyingData, parseOffer } from '../../src/enrollment/index.ts';
import type { EnrollmentRequest } from '../../src/enrollment/index.ts';
import { akTemplate, encodePublic, hasAttributes, parsePublic, pcrValuesJson } from '../../src/tpm/index.ts';
import type { EkTemplateName } from '../../src/tpm/index.ts';
import { fromNv } from '../../src/x509/index.ts';

const sized = (bytes: Uint8Array): string => toBase64url(new Writer().sized16(bytes).finish());

/** A real TPM's side of an enrollment, command by command, as an agent does it. */
export class TpmHost {
  readonly tpm: Tpm;
  readonly template: EkTemplateName;
  readonly agent = generateKeyPairSync('ec', { namedCurve: 'P-256' });

  constructor(tpm: Tpm, template: EkTemplateName) {
    this.tpm = tpm;
    this.template = template;
  }

  /** The AK as an agent makes it: under the EK, kept at a handle. */
  async akUnderEk(): Promise<TpmObject> {
    await using ek = await this.tpm.endorsementKey(this.template);
    return (await this.tpm.attestationKey({ ek })).key;
  }

  /** An AK as a primary object of a hierarchy. */
  async primaryAk(hierarchy: 'endorsement' | 'owner' | 'null'): Promise<TpmObject> {
    const template = encodePublic(akTemplate('ecc-p256'));
    return (await this.tpm.createPrimary(hierarchy, { template })).object;
  }

  async request(ak: TpmObject, members: JsonObject = {}): Promise<JsonObject> {
    await using ek = await this.tpm.endorsementKey(this.template);
    const nv = await this.tpm.endorsementCertificate(this.template);
    const body = {
      v: 1,
      name: 'host-a',
      ekPublic: sized(ek.publicBytes),
      akPublic: sized(ak.publicBytes),
      agentPublic: toBase64url(new Uint8Array(this.agent.publicKey.export({ type: 'spki', format: 'der' }))),
      ...members,
    };
    return nv === null ? body : { ...body, ekCertificate: toBase64url(fromNv(nv.content).der) };
  }

  /** TPM2_ActivateCredential and TPM2_Quote. */
  async answer(ak: TpmObject, offer: JsonObject, request: JsonObject): Promise<JsonObject> {
    const { credential, nonce, selection } = parseOffer(offer);
    const secret = await this.#activate(ak, credential);
    const digest = enrollmentDigest(request as unknown as EnrollmentRequest);
    const qualifyingData = enrollmentQualifyingData(nonce, digest);
    const { attest, signature } = await this.tpm.quote({ key: ak, qualifyingData, selection });
    const { values } = await this.tpm.pcrRead(selection);
    const flat = [...values].flatMap(([bank, bankValues]) =>
      [...bankValues].map(([index, value]) => ({ bank, index, value })),
    );
    return {
      secret: toBase64url(secret),
      attest: toBase64url(attest),
      signature: toBase64url(signature),
      pcrs: pcrValuesJson(flat),
    };
  }

  async #activate(
    ak: TpmObject,
    credential: ReturnType<typeof parseOffer>['credential'],
  ): Promise<Uint8Array> {
    await using ek = await this.tpm.endorsementKey(this.template);
    const { attributes, nameAlg } = parsePublic(ek.publicBytes);
    const type = hasAttributes(attributes, 'userWithAuth') ? 'hmac' : 'policy';
    await using forAk = await this.tpm.startSession({ type: 'hmac', salt: ek });
    await using forEk = await this.tpm.startSession({ type, salt: ek, hash: nameAlg });
    if (type === 'policy') await this.tpm.policySecret(forEk, 'endorsement');
    return await this.tpm.activateCredential(ak, ek, credential, { auth: [forAk, forEk] });
  }
}
