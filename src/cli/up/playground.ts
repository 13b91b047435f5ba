import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { collectEvidence } from '../../agent/collect-evidence.ts';
import { enrollHost, openHost, openTpm } from '../../agent/index.ts';
import type { Host } from '../../agent/index.ts';
import { dsseJson, encodeStatement, normalKey, signDsse } from '../../artifact/index.ts';
import type { SigningKey } from '../../artifact/index.ts';
import { refuse, toBase64url, utf8 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { VerifierClient } from '../../client/index.ts';
import { LocalIssuer } from '../../identity/index.ts';
import type { PolicyBundle } from '../../policy/index.ts';
import { BOOT_BANKS, emulateBoot, startSwtpm } from '../../testing/index.ts';
import type { Swtpm } from '../../testing/index.ts';
import { parsePcrSelectionText } from '../../tpm/index.ts';
import { systemClock } from '../clock.ts';
import { learnFromDirectory } from '../learn-evidence.ts';
import { systemRandom } from '../random.ts';
import { sharedFile } from '../shared-files.ts';
import { measureInput } from '../artifact-files.ts';
import { OPERATOR, TRUST_DOMAIN, filesBelow, initialize } from './playground-files.ts';
import type { Pins, PlaygroundFiles } from './playground-files.ts';
import { buildPlaygroundPolicy, signPolicy } from './playground-policy.ts';
import type { PlaygroundPolicy } from './playground-policy.ts';
import { VerifierProcess } from './verifier-process.ts';

const HOST_NAME = 'host-a';
const ISSUER = 'https://people.playground.test';
/** Seconds in which a release opens: long enough for a busy machine. */
const DEADLINE = 60;
const QUOTED = parsePcrSelectionText('sha256:0,1,2,3,4,5,6,7,8,9,10,14');

/**
 * A whole Sealgate on one machine: an emulated TPM that booted, a verifier in a process of its own, a policy authority,
 * an artifact signer, an initiator, and one host. Each method is one step; none is skipped or simulated but the TPM.
 */
export class Playground implements AsyncDisposable {
  readonly files: PlaygroundFiles;
  readonly swtpm: Swtpm;
  readonly #authority: () => SigningKey;
  readonly #signer = ed25519();
  readonly #issuer: LocalIssuer;
  readonly #holder = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  readonly #pins: Pins;
  readonly #starting: Promise<VerifierProcess>;
  #verifier: VerifierProcess | undefined;
  #operator: VerifierClient | undefined;
  #host: Host | undefined;
  #bundle: PolicyBundle | undefined;
  #policy: PlaygroundPolicy | undefined;

  private constructor(files: PlaygroundFiles, pins: Pins, swtpm: Swtpm, verifier: Promise<VerifierProcess>) {
    this.files = files;
    this.swtpm = swtpm;
    this.#pins = pins;
    this.#starting = verifier;
    this.#authority = () => readAuthority(files.verifier);
    const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    this.#issuer = new LocalIssuer(ISSUER, key, systemRandom);
  }

  get pins(): Pins {
    return this.#pins;
  }

  /**
   * A TPM with a certified EK; `init`; the TPM maker’s root among those that the operator trusts. The verifier begins to
   * start meanwhile; {@link startVerifier} waits for it.
   */
  static async make(): Promise<Playground> {
    const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-up-'));
    // What runs is another user, who has to get to its copy; everything else below is 0700.
    chmodSync(directory, 0o711);
    const files = filesBelow(directory);
    // In processes of its own, while this one makes keys and certificates.
    const making = startSwtpm({ banks: BOOT_BANKS.filter((bank) => bank !== 'sha512') });
    making.catch(() => undefined);
    let starting: Promise<VerifierProcess> | undefined;
    try {
      const pins = await initialize(files);
      starting = VerifierProcess.start(files.config);
      // What goes wrong is told where it is waited for.
      starting.catch(() => undefined);
      return new Playground(files, pins, await making, starting);
    } catch (error) {
      await starting?.then(
        async (verifier) => verifier.stop(),
        () => undefined,
      );
      await making.then(
        async (swtpm) => swtpm.stop(),
        () => undefined,
      );
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  get operator(): VerifierClient {
    return this.#operator ?? refuse('internal', 'the verifier was not started');
  }

  get host(): Host {
    return this.#host ?? refuse('internal', 'the host was not enrolled');
  }

  get bundle(): PolicyBundle {
    return this.#bundle ?? refuse('internal', 'there is no policy yet');
  }

  get verifierPid(): number | undefined {
    return this.#verifier?.pid;
  }

  /** Extends the recorded boot into the TPM, as firmware and boot loaders would. @returns how many events */
  async boot(): Promise<number> {
    const log = sharedFile('boot/secure-boot.eventlog.bin');
    await using tpm = await openTpm(this.swtpm.tcti);
    const events = await emulateBoot(tpm, log);
    writeFileSync(this.files.eventLog, log, { mode: 0o600 });
    return events;
  }

  /** Waits until the verifier listens, and connects the operator with it. */
  async startVerifier(): Promise<void> {
    this.#verifier = await this.#starting;
    const read = (ending: string): string =>
      readFileSync(path.join(this.files.verifier, 'operators', `${OPERATOR}.${ending}`), 'utf8');
    this.#operator = await VerifierClient.connect({
      ...this.#pins,
      certificatePem: read('pem'),
      keyPem: read('key'),
    });
  }

  /** Collects evidence of the host as it is now, and learns reference values from it. @returns what was learned */
  async learn(): Promise<readonly string[]> {
    const directory = path.join(this.files.directory, 'golden');
    await using tpm = await openTpm(this.swtpm.tcti);
    await collectEvidence(tpm, {
      directory,
      nonce: systemRandom.bytes(32),
      selection: QUOTED,
      eventlog: this.files.eventLog,
      ima: path.join(this.files.directory, 'no-ima'),
    });
    const { references, learned } = learnFromDirectory(directory, 'playground');
    this.#policy = {
      trustDomain: TRUST_DOMAIN,
      now: systemClock.now(),
      references,
      artifactSigner: this.#signer.publicKey.key,
      issuer: ISSUER,
      issuerKeys: await this.#issuer.jwks(),
      previous: null,
      expiration: DEADLINE,
    };
    this.#bundle = buildPlaygroundPolicy(this.#policy);
    return learned;
  }

  /** Signs the bundle as the policy authority, stages and publishes it. @returns the policyHash */
  async publish(): Promise<string> {
    const { bundle } = this;
    await this.stage(signPolicy(bundle, this.#authority()));
    await this.operator.request('POST', '/v1/policy/publish', { body: { digest: bundle.hash } });
    return bundle.hash;
  }

  /** Runs a task under a next version of the policy, in which releases open for so many seconds only. */
  async withDeadline<T>(seconds: number, task: () => Promise<T>): Promise<T> {
    await this.#publishDeadline(seconds);
    try {
      return await task();
    } finally {
      await this.#publishDeadline(DEADLINE);
    }
  }

  async #publishDeadline(expiration: number): Promise<void> {
    const policy = this.#policy ?? refuse('internal', 'there is no policy yet');
    this.#bundle = buildPlaygroundPolicy({ ...policy, previous: this.bundle, expiration });
    await this.publish();
  }

  /** Asks the verifier to take the bundle under a manifest. */
  async stage(manifest: JsonObject): Promise<void> {
    await this.operator.request('POST', '/v1/policy/stage', { body: { bundle: this.bundle.json, manifest } });
  }

  /** The bundle's manifest, signed by somebody who is no authority. */
  strangersManifest(): JsonObject {
    return signPolicy(this.bundle, ed25519());
  }

  async storeSecret(): Promise<void> {
    const value = toBase64url(utf8(`correct horse ${toBase64url(systemRandom.bytes(6))}`));
    await this.operator.request('POST', '/v1/secrets', { body: { name: 'database-password', value } });
  }

  /** Invites the host and enrolls it with the join token. @returns the hostId */
  async enroll(): Promise<string> {
    const { json } = await this.operator.request('POST', '/v1/invitations', {
      body: {
        name: HOST_NAME,
        labels: { purpose: 'playground' },
        platform: 'playground',
        ekTemplate: 'L-1',
        ek: null,
        host: null,
        restartCounters: false,
        needsApproval: false,
        ttlSeconds: 600,
      },
    });
    const { token } = json;
    if (typeof token !== 'string') return refuse('internal', 'the invitation has no token');
    const { hostId } = await enrollHost({
      ...this.#pins,
      name: HOST_NAME,
      token,
      state: this.files.host,
      tcti: this.swtpm.tcti,
      ekTemplate: 'L-1',
      eventLog: this.files.eventLog,
      imaList: path.join(this.files.directory, 'no-ima'),
    });
    this.#host = await openHost({ state: this.files.host });
    return hostId;
  }

  /** Writes the report and signs it. @returns its digest */
  async sign(): Promise<string> {
    return (await this.signArtifact('report', sharedFile('playground/report.sh'))).digest;
  }

  /** Writes an executable and signs it under its name. @returns where it is, its digest and its signature as an order has it */
  async signArtifact(
    name: string,
    content: Uint8Array,
  ): Promise<{ readonly artifact: string; readonly digest: string; readonly data: string }> {
    const artifact = path.join(path.dirname(this.files.artifact), name);
    mkdirSync(path.dirname(artifact), { recursive: true });
    writeFileSync(artifact, content);
    chmodSync(artifact, 0o755);
    const { digests } = await measureInput(artifact);
    const sha256 = Buffer.from(digests.sha256).toString('hex');
    const signedAt = Math.floor(systemClock.now() / 1000) * 1000;
    const envelope = signDsse(encodeStatement({ name, sha256, signedAt }), this.#signer);
    const text = `${JSON.stringify(dsseJson(envelope))}\n`;
    writeFileSync(`${artifact}.dsse.json`, text);
    return { artifact, digest: `sha256:${sha256}`, data: toBase64url(utf8(text)) };
  }

  /** A copy of the artifact, with its signature, in a folder of its own. */
  copyArtifact(folder: string): string {
    const copy = path.join(this.files.directory, folder, path.basename(this.files.artifact));
    for (const ending of ['', '.dsse.json']) cpSync(`${this.files.artifact}${ending}`, `${copy}${ending}`);
    return copy;
  }

  /** A token for alice, and the key that it names. */
  async initiator(): Promise<{ readonly token: string; readonly key: KeyObject }> {
    const { privateKey: key } = this.#holder;
    const now = Math.floor(systemClock.now() / 1000);
    const order = { subject: 'alice', audience: TRUST_DOMAIN, now, lifetime: 300, confirmationKey: key };
    return { token: await this.#issuer.issue(order), key };
  }

  /** Stops every process; the files stay when they are kept. */
  async stop(keep = false): Promise<void> {
    await this.#host?.close();
    await this.#operator?.close();
    // Ended before it had begun, it would be left behind.
    const verifier = await this.#starting.catch(() => undefined);
    await Promise.all([verifier?.stop(), this.swtpm.stop()]);
    if (!keep) rmSync(this.files.directory, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

function ed25519(): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { privateKey, publicKey: normalKey(publicKey) };
}

/** The policy authority's key, which a real installation keeps away from the verifier. */
function readAuthority(verifier: string): SigningKey {
  const pem = readFileSync(path.join(verifier, 'offline', 'policy-authority-1.key'));
  const privateKey = createPrivateKey(pem);
  return { privateKey, publicKey: normalKey(privateKey) };
}
