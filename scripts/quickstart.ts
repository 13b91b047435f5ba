/** What scripts/quickstart shows: each step on a real (software) TPM, and what it proves. */
import { randomBytes, randomUUID } from 'node:crypto';
import { Refusal, equalBytes, toHex } from '../src/base/index.ts';
import type { Random } from '../src/base/index.ts';
import { checkSealed, decryptCredentials, sealCredentials } from '../src/credential/index.ts';
import type { ReleaseBinding, SealedCredentials } from '../src/credential/index.ts';
import { startSwtpm } from '../src/testing/index.ts';
import type { Swtpm } from '../src/testing/index.ts';
import {
  formatPcrSelection,
  handleName,
  hostId,
  importAttestationKey,
  makeCredential,
  parsePcrSelectionText,
  parsePublic,
  publicSpki,
  qualifiedName,
  TPM_RH,
  verifyQuote,
} from '../src/tpm/index.ts';
import type { PcrSelection, VerifiedQuote } from '../src/tpm/index.ts';
import {
  ekProfile,
  parseCertificate,
  parseEkCertificate,
  publicKeyOf,
  verifyPath,
} from '../src/x509/index.ts';
import { Tpm, TpmError } from '../native/index.ts';
import type { Session, TpmObject } from '../native/index.ts';

const RANDOM: Random = { bytes: (length) => new Uint8Array(randomBytes(length)) };
const QUOTED = parsePcrSelectionText('sha256:0,1,2,3,4,5,6,7,8,9,10,14,23');
const SEALED = parsePcrSelectionText('sha256:0,1,2,3,4,5,6,7,14,23');
const EK = 'L-1';
const start = performance.now();
const failures: string[] = [];

function step(title: string): void {
  process.stdout.write(`\n== ${title}   (${((performance.now() - start) / 1000).toFixed(1)} s)\n`);
}
function show(name: string, value: string): void {
  process.stdout.write(`   ${name.padEnd(14)} ${value}\n`);
}
function proves(text: string): void {
  process.stdout.write(`   proves: ${text}\n`);
}

/** What an error is called: the TPM's command and code, the check of a refusal, or the error's own name. */
function nameOf(error: unknown): string {
  if (error instanceof TpmError) return `${error.command} ${error.name}`;
  if (error instanceof Refusal) return error.check;
  return error instanceof Error ? error.name : String(error);
}

/** Runs what must be refused, and says by whom and why; an error for another reason than `expected` proves nothing. */
async function refused(what: string, expected: string, action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    const isExpected = nameOf(error) === expected;
    if (!isExpected) failures.push(`${what} (${nameOf(error)} in place of ${expected})`);
    const text = error instanceof Error ? error.message : String(error);
    show(isExpected ? 'refused' : 'WRONG ERROR', `${what}: ${text}`);
    return;
  }
  failures.push(what);
  show('NOT REFUSED', what);
}

/** The host's identity: its EK and the attestation key under it. */
interface Host {
  readonly tpm: Tpm;
  readonly ek: TpmObject;
  readonly ak: TpmObject;
  readonly qualifiedSigner: Uint8Array;
}

async function openHost(swtpm: Swtpm): Promise<Tpm> {
  step('1  A TPM is opened');
  const tpm = await Tpm.open(swtpm.tcti);
  const properties = await tpm.properties();
  show('manufacturer', properties.manufacturer);
  show('PCR banks', Object.keys(properties.pcrBanks).join(', '));
  return tpm;
}

async function verifyEk(tpm: Tpm, swtpm: Swtpm): Promise<TpmObject> {
  step('2  Its endorsement key is genuine');
  const ek = await tpm.endorsementKey(EK);
  const found = await tpm.endorsementCertificate(EK);
  if (found === null) throw new Error('the TPM has no EK certificate');
  const path = verifyPath({
    leaf: parseEkCertificate(found.content),
    intermediates: [parseCertificate(swtpm.caCertificates.issuer)],
    anchors: [parseCertificate(swtpm.caCertificates.root)],
    now: Date.now(),
    profile: ekProfile(),
  });
  const area = parsePublic(ek.publicBytes);
  const certified = new Uint8Array(publicKeyOf(path.leaf.publicKey).export({ type: 'spki', format: 'der' }));
  if (!equalBytes(certified, publicSpki(area))) throw new Error('the certificate is for another key');
  show('chain', path.chain.map(({ fingerprint }) => fingerprint.slice(0, 16)).join(' <- '));
  show('hostId', hostId(area));
  proves('a TPM made under this CA exists, and this is its key (here the CA is the emulator’s own).');
  return ek;
}

async function makeAk(tpm: Tpm, ek: TpmObject): Promise<Host> {
  step('3  An attestation key lives in the same TPM');
  const ak = await tpm.attestationKey({ ek });
  const secret = RANDOM.bytes(32);
  const challenge = makeCredential(parsePublic(ek.publicBytes), ak.key.name, secret, RANDOM);
  await using session = await tpm.startSession({ type: 'policy', salt: ek });
  await tpm.policySecret(session, 'endorsement');
  const answer = await tpm.activateCredential(ak.key, ek, challenge, { auth: [undefined, session] });
  if (!equalBytes(answer, secret)) throw new Error('the activation gave another secret');
  const qualifiedSigner = qualifiedName(qualifiedName(handleName(TPM_RH.ENDORSEMENT), ek.name), ak.key.name);
  show('AK name', toHex(ak.key.name));
  show('handle', `0x${ak.handle.toString(16)}`);
  proves(
    'only the TPM with that EK could open the challenge, and only for exactly this key and its attributes.',
  );
  return { tpm, ek, ak: ak.key, qualifiedSigner };
}

async function quote(host: Host, nonce: Uint8Array, selection: PcrSelection): Promise<VerifiedQuote> {
  const { attest, signature } = await host.tpm.quote({ key: host.ak, qualifyingData: nonce, selection });
  const { values } = await host.tpm.pcrRead(selection);
  return verifyQuote({ attest, signature, pcrs: values }, importAttestationKey(host.ak.publicBytes), {
    nonce,
    selection,
    qualifiedSigner: host.qualifiedSigner,
  });
}

async function showQuote(host: Host): Promise<void> {
  step('4  A quote over a fresh nonce verifies');
  const nonce = RANDOM.bytes(32);
  const verified = await quote(host, nonce, QUOTED);
  show('selection', formatPcrSelection(verified.attest.attested.pcrSelection));
  show(
    'boot',
    `reset ${String(verified.attest.clockInfo.resetCount)}, clock ${String(verified.attest.clockInfo.clock)} ms`,
  );
  show('PCR 7', toHex(verified.pcrs?.get('sha256', 7) ?? new Uint8Array()));
  proves(
    'this TPM, in this boot, has these PCR values, now: the nonce was made a moment ago and is used once.',
  );
  await refused('the same quote for another nonce', 'e16', async () => {
    const { attest, signature } = await host.tpm.quote({
      key: host.ak,
      qualifyingData: nonce,
      selection: QUOTED,
    });
    verifyQuote({ attest, signature }, importAttestationKey(host.ak.publicBytes), {
      nonce: RANDOM.bytes(32),
    });
  });
}

/** A secret as a verifier releases it: sealed to one session, boot, deadline and PCR state. */
interface Release {
  readonly session: Session;
  readonly binding: ReleaseBinding;
  readonly sealed: SealedCredentials;
  readonly verified: VerifiedQuote;
  readonly nonceTpm: Uint8Array;
}

async function release(host: Host, expiration = 60): Promise<Release> {
  const session = await host.tpm.startSession({ type: 'policy', salt: host.ek });
  const nonceTpm = await session.nonceTPM();
  const verified = await quote(host, RANDOM.bytes(32), QUOTED);
  const executionId = randomUUID().replace(/^(.{14})4/, '$17');
  const binding: ReleaseBinding = {
    kind: 'release',
    executionId,
    requestDigest: RANDOM.bytes(32),
    jti: randomUUID(),
  };
  const sealed = await sealCredentials(
    { secrets: { database: 'correct horse battery staple' } },
    {
      binding,
      ek: parsePublic(host.ek.publicBytes),
      nonceTpm,
      ...terms(verified),
      pcrSelection: SEALED,
      expiration,
    },
    RANDOM,
  );
  return { session, binding, sealed, verified, nonceTpm };
}

function terms(verified: VerifiedQuote) {
  return {
    quoted: verified.attest.clockInfo,
    quotedPcr: (bank: 'sha1' | 'sha256' | 'sha384' | 'sha512', index: number) =>
      verified.pcrs?.get(bank, index),
  };
}

async function open(
  host: Host,
  { session, binding, sealed, verified, nonceTpm }: Release,
  other?: Session,
): Promise<string> {
  const object = checkSealed(sealed, { binding, nonceTpm, ...terms(verified) });
  const key = await host.tpm.openSealed({
    session: other ?? session,
    sealed: object,
    ekTemplate: EK,
    ekName: host.ek.name,
  });
  return JSON.stringify(await decryptCredentials(sealed.jwe, key, binding));
}

async function showSealing(host: Host): Promise<void> {
  step('5  A secret is sealed: this TPM, this session, once, before a deadline, in this state');
  const first = await release(host);
  show('opened', await open(host, first));
  proves('the credential reached the TPM that was verified; nobody else can open what was sent.');

  step('6  And it opens never again, nowhere else, not late, not in another state');
  // The session is over, which node-tpm2 says before it asks the TPM; another one the TPM itself refuses.
  await refused('a second time', 'RangeError', async () => open(host, first));
  await refused('a second time, in a session of its own', 'TPM2_PolicySigned TPM_RC_SIGNATURE', async () => {
    await using stranger = await host.tpm.startSession({ type: 'policy', salt: host.ek });
    return await open(host, first, stranger);
  });
  const second = await release(host);
  await refused('in another session', 'TPM2_PolicySigned TPM_RC_SIGNATURE', async () => {
    await using stranger = await host.tpm.startSession({ type: 'policy', salt: host.ek });
    return await open(host, second, stranger);
  });
  await second.session.flush();
  const late = await release(host, 1);
  await new Promise((resolve) => setTimeout(resolve, 2500));
  await refused('after the deadline of 1 s', 'TPM2_PolicySigned TPM_RC_EXPIRED', async () =>
    open(host, late),
  );
  const changed = await release(host);
  await host.tpm.pcrExtend(7, { sha256: RANDOM.bytes(32) });
  await refused('after PCR 7 changed', 'TPM2_PolicyPCR TPM_RC_VALUE', async () => open(host, changed));
  proves('a copied blob, a delayed answer and a changed machine are worth nothing: the TPM itself refuses.');
}

async function main(): Promise<void> {
  step('0  A software TPM is made, with a certified endorsement key');
  await using swtpm = await startSwtpm();
  show('TCTI', swtpm.tcti);
  await using tpm = await openHost(swtpm);
  await tpm.pcrExtend(7, { sha256: RANDOM.bytes(32) });
  const host = await makeAk(tpm, await verifyEk(tpm, swtpm));
  await showQuote(host);
  await showSealing(host);
}

await main();
if (failures.length > 0) {
  process.stdout.write(
    `\n${String(failures.length)} steps were not refused as they have to be: ${failures.join('; ')}\n`,
  );
  process.exitCode = 1;
} else {
  const took = ((performance.now() - start) / 1000).toFixed(1);
  process.stdout.write(`\nDone in ${took} s: every proof held and every attack was refused.\n`);
}
