import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MissingToolError, runTool } from './command.ts';
import type { CaCertificates } from './authority.ts';
import { certifyP256, createFactory, manufacture, readEkCertificates } from './manufacture.ts';
import type { EkCertificates, Factory, PcrBank } from './manufacture.ts';
import { startProcess } from '../../native/process-gate.ts';
import { probe, shutdown } from './raw.ts';
import type { StartupType } from './raw.ts';
import { scratchDirectory } from './scratch.ts';

/** What kind of TPM {@link startSwtpm} makes. */
export interface SwtpmOptions {
  /** Allocated PCR banks; default sha1, sha256, sha384, sha512. */
  readonly banks?: readonly PcrBank[];
  /** Also certify the P-256 EK of template L-2 (certificate in NV 0x01C0000A); needs tpm2-tools. */
  readonly eccP256?: boolean;
  /** A CA of its own; otherwise all TPMs of this process have certificates from one CA. */
  readonly ownCa?: boolean;
  /**
   * A copy of one TPM, made once in this process for the same banks and keys: starts in 50 ms instead of a second,
   * but **all copies have the same EK**. Only for tests that never compare two of them.
   */
  readonly clone?: boolean;
}

/** How {@link Swtpm.reboot} goes down and comes up again. */
export interface RebootOptions {
  /** TPM2_Shutdown before power is cut; `none` is a crash: the clock is then no longer `safe`. Default `clear`. */
  readonly shutdown?: StartupType | 'none';
  /** `clear` is a TPM Reset (or, after Shutdown(STATE), a TPM Restart); `state` a TPM Resume. Default `clear`. */
  readonly startup?: StartupType;
}

/** A saved state of a TPM: what somebody who owns a virtual TPM can put back. */
export interface SwtpmSnapshot {
  readonly directory: string;
}

let sharedFactory: Promise<Factory> | undefined;
const templates = new Map<string, Promise<Home>>();

interface Home {
  readonly directory: string;
  readonly ekCertificates: EkCertificates;
  readonly caCertificates: CaCertificates;
}

/**
 * Makes and starts an emulated TPM 2.0 (swtpm) with EK certificates from a local CA, on private Unix sockets, so
 * that any number can run at once. It is powered on and started (TPM2_Startup(CLEAR)). Nothing is left behind when
 * {@link Swtpm.stop} was called or this process ended, however it ended.
 * @throws MissingToolError when swtpm or its tools aren't installed
 */
export async function startSwtpm(options: SwtpmOptions = {}): Promise<Swtpm> {
  const home = options.clone === true ? await cloneHome(options) : await newHome(options);
  const tpm = new Swtpm(home.directory, home.ekCertificates, home.caCertificates);
  await tpm.powerOn('clear');
  return tpm;
}

const commonFactory = (): Promise<Factory> => (sharedFactory ??= createFactory());

/** The CA of all TPMs of this process but those with one of their own: known before any of them is made. */
export async function commonAuthority(): Promise<CaCertificates> {
  return (await commonFactory()).caCertificates;
}

async function newHome(options: SwtpmOptions): Promise<Home> {
  const banks = options.banks ?? ['sha1', 'sha256', 'sha384', 'sha512'];
  if (banks.length === 0) throw new RangeError('a TPM needs at least one PCR bank');
  const factory = await (options.ownCa === true ? createFactory() : commonFactory());
  const directory = scratchDirectory('tpm');
  let ekCertificates = await manufacture(factory, directory, banks);
  const { caCertificates } = factory;
  if (options.eccP256 === true) {
    await using tpm = new Swtpm(directory, ekCertificates, caCertificates, 'keep');
    await tpm.powerOn('clear');
    await certifyP256(factory, directory, tpm.tcti);
    await shutdown(tpm.socket, 'clear');
    ekCertificates = await readEkCertificates(directory);
  }
  return { directory, ekCertificates, caCertificates };
}

async function cloneHome(options: SwtpmOptions): Promise<Home> {
  const key = JSON.stringify([options.banks, options.eccP256, options.ownCa]);
  let template = templates.get(key);
  if (template === undefined) {
    template = newHome(options);
    templates.set(key, template);
    // A failure isn't remembered: the next call tries again.
    template.catch(() => templates.delete(key));
  }
  const { directory: from, ...certificates } = await template;
  const directory = scratchDirectory('tpm');
  await cp(path.join(from, 'state'), path.join(directory, 'state'), { recursive: true });
  return { directory, ...certificates };
}

/** A running emulated TPM; see {@link startSwtpm}. `await using` stops it at the end of the block. */
export class Swtpm implements AsyncDisposable {
  readonly ekCertificates: EkCertificates;
  readonly caCertificates: CaCertificates;
  /** TCTI configuration string, for node-tpm2 and as `TPM2TOOLS_TCTI`; stays the same over reboots. */
  readonly tcti: string;
  /** Unix socket of the command channel; it serves one connection at a time. The control channel is at `.ctrl`. */
  readonly socket: string;
  readonly #home: string;
  readonly #keep: boolean;
  #process: ChildProcess | undefined;

  /** @internal use {@link startSwtpm} */
  constructor(home: string, ek: EkCertificates, ca: CaCertificates, atEnd: 'remove' | 'keep' = 'remove') {
    this.#home = home;
    this.#keep = atEnd === 'keep';
    this.ekCertificates = ek;
    this.caCertificates = ca;
    this.socket = path.join(home, 'tpm');
    this.tcti = `swtpm:path=${this.socket}`;
    // sockaddr_un.sun_path holds 108 bytes with its NUL; the control channel's name is the longer one.
    if (`${this.socket}.ctrl`.length > 107) throw new RangeError(`TMPDIR is too long for sockets: ${home}`);
  }

  /** Process id of the emulator, undefined while it is off. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Runs a program of tpm2-tools against this TPM and gives its stdout. No other connection may be open. */
  tool(name: `tpm2_${string}`, args: readonly string[] = []): Promise<string> {
    return runTool(name, args, { env: { TPM2TOOLS_TCTI: this.tcti }, cwd: this.#home });
  }

  /** TPM2_Shutdown, without cutting power. No other connection may be open. */
  shutdown(type: StartupType): Promise<void> {
    return shutdown(this.socket, type);
  }

  /** TPM2_Clear with platform authorization: new storage seed, resetCount and clock begin again. */
  async clear(): Promise<void> {
    await this.tool('tpm2_clear', ['-c', 'p']);
  }

  /** Power off and on with the same state; open connections break, as they would on a machine. */
  async reboot(options: RebootOptions = {}): Promise<void> {
    const how = options.shutdown ?? 'clear';
    if (how !== 'none') await this.shutdown(how);
    await this.powerOff();
    await this.powerOn(options.startup ?? 'clear');
  }

  /** Copies the state as it is on disk now (what TPM2_Shutdown or an NV write has saved). */
  async snapshot(): Promise<SwtpmSnapshot> {
    const directory = scratchDirectory('snapshot');
    await cp(path.join(this.#home, 'state'), directory, { recursive: true });
    return { directory };
  }

  /** Power off, put a saved state back, power on: the roll-back that counters are there to show. */
  async restore(snapshot: SwtpmSnapshot): Promise<void> {
    await this.powerOff();
    const state = path.join(this.#home, 'state');
    await rm(state, { recursive: true, force: true });
    await cp(snapshot.directory, state, { recursive: true });
    await this.powerOn('clear');
  }

  /** Starts the emulator's process and the TPM in it. */
  async powerOn(type: StartupType): Promise<void> {
    if (this.#process !== undefined) throw new Error('this TPM is already powered on');
    await Promise.all(['', '.ctrl'].map((suffix) => rm(`${this.socket}${suffix}`, { force: true })));
    const { ready } = await startProcess(() => {
      const child = spawn('swtpm', this.#arguments(type), { stdio: 'ignore', cwd: '/' });
      this.#process = child;
      child.unref();
      return { ready: answers(child, this.socket, path.join(this.#home, 'log')) };
    });
    await ready;
  }

  /** Ends the emulator's process, without TPM2_Shutdown: what is volatile is lost. */
  async powerOff(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || hasEnded(child)) return;
    const ended = once(child, 'exit');
    child.ref();
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 2000);
    await ended;
    clearTimeout(timer);
  }

  /** Powers off and removes all files. May be called again. */
  async stop(): Promise<void> {
    await this.powerOff();
    if (!this.#keep) await rm(this.#home, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #arguments(type: StartupType): string[] {
    // An absolute state directory: swtpm goes into failure mode with a relative one.
    // prettier-ignore
    return [
      'socket', '--tpm2', '--tpmstate', `dir=${path.join(this.#home, 'state')}`,
      '--server', `type=unixio,path=${this.socket},mode=0600`,
      '--ctrl', `type=unixio,path=${this.socket}.ctrl,mode=0600`,
      '--flags', `not-need-init,startup-${type}`,
      '--pid', `file=${path.join(this.#home, 'pid')}`,
      '--log', `file=${path.join(this.#home, 'log')},level=1,truncate`,
    ];
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Waits until the TPM answers; its process ending first, or 10 s without an answer, is an error with its log. */
async function answers(child: ChildProcess, socket: string, logFile: string): Promise<void> {
  let spawnError: Error | undefined;
  child.on('error', (error) => (spawnError = error));
  let last: unknown;
  const deadline = performance.now() + 10_000;
  while (performance.now() < deadline) {
    if (spawnError !== undefined) throw startError(spawnError);
    if (hasEnded(child)) break;
    try {
      await probe(socket);
      return;
    } catch (error) {
      // Until it listens: ENOENT, ECONNREFUSED. An answer with an error code is final.
      last = error;
      if (!(error instanceof Error && 'code' in error)) break;
    }
    await sleep(5);
  }
  child.kill('SIGKILL');
  const log = await readFile(logFile, 'utf8').catch(() => '');
  throw new Error(
    `swtpm didn't start: ${last instanceof Error ? last.message : ''} ${log.trim().slice(-1000)}`,
  );
}

function startError(error: Error): Error {
  return 'code' in error && error.code === 'ENOENT' ? new MissingToolError('swtpm', 'swtpm') : error;
}
