import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Tpm } from '../../native/index.ts';
import { collectEvidence } from '../../src/agent/collect-evidence.ts';
import type { ReferenceValues } from '../../src/appraisal/index.ts';
import { toBase64url } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { learnFromDirectory } from '../../src/cli/learn-evidence.ts';
import { frameEntries } from '../../src/evidence/index.ts';
import { BOOT_BANKS, EmulatedIma, emulateBoot, startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { parsePcrSelectionText } from '../../src/tpm/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { dataFile } from '../support/vectors.ts';
import { DecisionHost } from './decision-world.ts';
import type { DecisionWorld } from './decision-world.ts';

const SHIPPED_LOG = path.resolve(import.meta.dirname, '../../share/boot/secure-boot.eventlog.bin');
/** The list that the machine of the recorded boot had at its first quote. */
const RECORDED_LIST = 'boots/secure-boot/rounds/r0/ima_binary.bin';

export const sha256 = (content: string): string => createHash('sha256').update(content).digest('hex');

/** Files of a gateway as its build wrote them down. */
export const GATEWAY: Readonly<Record<string, string>> = {
  '/usr/lib/sealgate/sealgate.js': sha256('the gateway'),
  '/usr/lib/sealgate/node': sha256('its runtime'),
  '/usr/lib/sealgate/tss2.node': sha256('its native library'),
};

/** A machine that booted as the recorded one, whose kernel measures. */
export class MeasuredMachine {
  readonly swtpm: Swtpm;
  readonly ima: EmulatedIma;
  readonly eventLog: Uint8Array;

  private constructor(swtpm: Swtpm, ima: EmulatedIma, eventLog: Uint8Array) {
    this.swtpm = swtpm;
    this.ima = ima;
    this.eventLog = eventLog;
  }

  /** @param tpm of `swtpm`, just powered on; it is used for measuring later, too */
  static async boot(swtpm: Swtpm, tpm: Tpm): Promise<MeasuredMachine> {
    const eventLog = new Uint8Array(readFileSync(SHIPPED_LOG));
    await emulateBoot(tpm, eventLog);
    const ima = new EmulatedIma(tpm, path.join(temporaryDirectory(), randomUUID()));
    await ima.replay(dataFile(RECORDED_LIST));
    return new MeasuredMachine(swtpm, ima, eventLog);
  }

  /** Starts the gateway: the kernel measures its files. */
  async startGateway(files: Readonly<Record<string, string>> = GATEWAY): Promise<void> {
    for (const [file, digest] of Object.entries(files)) await this.ima.measure(file, digest);
  }

  /** The list as it is now. */
  list(): Uint8Array {
    return new Uint8Array(readFileSync(this.ima.file));
  }
}

/** An emulated TPM with the banks that the recorded boot has digests for. */
export async function newTpm(): Promise<Swtpm> {
  return await startSwtpm({ banks: BOOT_BANKS.filter((bank) => bank !== 'sha512') });
}

/** Reference values as `policy learn` makes them from what `host collect` wrote on a golden host. */
export async function learnGolden(): Promise<ReferenceValues> {
  await using swtpm = await newTpm();
  await using tpm = await Tpm.open(swtpm.tcti);
  const machine = await MeasuredMachine.boot(swtpm, tpm);
  await machine.startGateway();
  const directory = path.join(temporaryDirectory(), 'golden');
  const manifest = path.join(temporaryDirectory(), 'sealgate.manifest.json');
  writeFileSync(manifest, JSON.stringify({ files: GATEWAY }));
  await collectEvidence(tpm, {
    directory,
    nonce: new Uint8Array(32).fill(7),
    selection: parsePcrSelectionText('sha256:0,1,2,3,4,5,6,7,8,9,10,14'),
    eventlog: SHIPPED_LOG,
    ima: machine.ima.file,
    manifest,
  });
  return learnFromDirectory(directory, 'vm').references;
}

/** What a host sent of its logs, to look at. */
export interface SentLogs {
  /** Whether the event log was sent. */
  readonly eventLog: boolean;
  /** Number of the list's first entry that was sent, and how many. */
  readonly offset: number;
  readonly entries: number;
}

/** An enrolled host on such a machine: it sends what the challenge asks for, as an agent does. */
export class MeasuredHost {
  readonly host: DecisionHost;
  machine: MeasuredMachine;
  readonly sent: SentLogs[] = [];
  /** Alters the challenge that the logs are chosen by. */
  alter: (challenge: JsonObject) => JsonObject = (same) => same;

  private constructor(host: DecisionHost, machine: MeasuredMachine) {
    this.host = host;
    this.machine = machine;
    host.logs = (challenge) => Promise.resolve(this.#logs(this.alter(challenge)));
  }

  /** Boots, and starts the gateway where its files are given. */
  static async enroll(
    world: DecisionWorld,
    name: string,
    gateway: Readonly<Record<string, string>> = GATEWAY,
  ): Promise<MeasuredHost> {
    const swtpm = await newTpm();
    const host = await DecisionHost.enroll(world, name, swtpm);
    const machine = await MeasuredMachine.boot(swtpm, host.tpm);
    await machine.startGateway(gateway);
    return new MeasuredHost(host, machine);
  }

  /** The same machine again after a restart, the gateway running. */
  async reboot(): Promise<void> {
    const { host } = this;
    await host.tpm.close();
    await host.emulator.reboot();
    host.tpm = await Tpm.open(host.emulator.tcti);
    await host.loadKey();
    this.machine = await MeasuredMachine.boot(host.emulator, host.tpm);
    await this.machine.startGateway();
  }

  /** Entries of the list as it is now. */
  get entries(): number {
    return frameEntries(this.machine.list(), 0, Number.MAX_SAFE_INTEGER).count;
  }

  /** A private copy of an artifact, made by root: the kernel measures it. */
  async copy(content = 'report'): Promise<string> {
    const digest = sha256(content);
    await this.machine.ima.measure(`/var/lib/sealgate/run/${randomUUID()}/report`, digest);
    return digest;
  }

  #logs({ eventLog, ima }: JsonObject): JsonObject {
    const { offset } = ima as { readonly offset: number };
    const list = this.machine.list();
    const { consumed } = frameEntries(list, 0, offset);
    const tail = list.slice(consumed);
    this.sent.push({
      eventLog: eventLog === 'required',
      offset,
      entries: frameEntries(tail, 0, Number.MAX_SAFE_INTEGER).count,
    });
    const record = (type: string, data: Uint8Array) => [
      `application/vnd.sealgate.${type}`,
      toBase64url(data),
      4,
    ];
    return {
      ...(eventLog === 'required' ? { 'uefi-log': record('uefi-log', this.machine.eventLog) } : {}),
      'ima-log': record(offset === 0 ? 'ima-log' : `ima-log;offset=${String(offset)}`, tail),
    };
  }
}
