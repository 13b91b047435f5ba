import { generateKeyPairSync } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { CheckpointMemory } from '../../src/agent/checkpoint-memory.ts';
import { evidenceLogs } from '../../src/agent/evidence-logs.ts';
import { withFileLock } from '../../src/agent/file-lock.ts';
import { parseIdentity, readIdentity, writeIdentity } from '../../src/agent/host-identity.ts';
import type { HostIdentity } from '../../src/agent/host-identity.ts';
import { PolicyMemory } from '../../src/agent/policy-memory.ts';
import { StateDirectory } from '../../src/agent/state-directory.ts';
import {
  formatCheckpoint,
  formatNote,
  noteSigner,
  proveConsistency,
  signNote,
} from '../../src/audit/index.ts';
import { LIMITS, utf8 } from '../../src/base/index.ts';
import { MemoryLog, logOf } from '../audit/support/log.ts';
import { expectRefusal, expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const fresh = () => StateDirectory.create(path.join(temporaryDirectory(), 'state'));
const identity: HostIdentity = {
  v: 1,
  url: 'https://localhost:8443',
  caFingerprint: 'sha256:aa',
  trustDomain: 'example.org',
  hostId: 'ab'.repeat(32),
  name: 'host-a',
  tcti: 'device:/dev/tpmrm0',
  ekTemplate: 'L-1',
  ekName: `000b${'cd'.repeat(32)}`,
  akHandle: 0x8101_0020,
  akName: `000b${'ef'.repeat(32)}`,
  eventLog: '/log',
  imaList: '/ima',
};

describe('the state directory', () => {
  it('is 0700 with files 0600, each replaced as a whole', () => {
    const state = fresh();
    state.write('checkpoint', 'one');
    state.write('checkpoint', 'two');
    expect(readFileSync(state.at('checkpoint'), 'utf8')).toBe('two');
    expect(statSync(state.path).mode & 0o777).toBe(0o700);
    expect(statSync(state.at('checkpoint')).mode & 0o777).toBe(0o600);
    expect(readdirSync(state.path)).toEqual(['checkpoint']);
  });

  it('is refused when others can enter it or read a file of it', () => {
    const state = fresh();
    state.write('ak.auth', 'secret');
    chmodSync(state.at('ak.auth'), 0o640);
    expectRefusal('secret-file', () => StateDirectory.open(state.path));
    chmodSync(state.at('ak.auth'), 0o600);
    chmodSync(state.path, 0o750);
    expectRefusal('secret-file', () => StateDirectory.open(state.path));
    chmodSync(state.path, 0o700);
    expect(StateDirectory.open(state.path).read('ak.auth')).toEqual(utf8('secret'));
  });

  it('is not there before enrollment, and says so', () => {
    expectRefusal('agent-not-enrolled', () => StateDirectory.open(path.join(temporaryDirectory(), 'none')));
    expectRefusal('agent-not-enrolled', () => readIdentity(fresh()));
  });

  it('loses what a crash left half written, nothing else', () => {
    const state = fresh();
    state.write('checkpoint', 'one');
    writeFileSync(state.at('checkpoint.4711.new'), 'half', { mode: 0o600 });
    state.tidy();
    expect(readdirSync(state.path)).toEqual(['checkpoint']);
  });

  it('keeps an identity that reads back, and refuses any other', () => {
    const state = fresh();
    writeIdentity(state, identity);
    expect(readIdentity(state)).toEqual(identity);
    const variants: object[] = [
      { ...identity, v: 2 },
      { ...identity, akHandle: 0x8101_0001 },
      { ...identity, ekTemplate: 'L-9' },
      { ...identity, url: 'http://localhost' },
      { ...identity, eventLog: 'relative' },
      { ...identity, more: 1 },
    ];
    for (const variant of variants)
      expectRefusal('agent-state', () => parseIdentity(utf8(JSON.stringify(variant))));
  });
});

describe('the highest policy', () => {
  const policy = (version: number, digit: string) => ({ version, hash: `sha256:${digit.repeat(64)}` });

  it('only goes up', async () => {
    const memory = new PolicyMemory(fresh());
    expect(memory.read()).toBeUndefined();
    await memory.raise(policy(2, 'a'));
    await memory.raise(policy(1, 'b'));
    await memory.raise(policy(2, 'c'));
    expect(memory.read()).toEqual(policy(2, 'a'));
    await memory.raise(policy(3, 'd'));
    expect(memory.read()).toEqual(policy(3, 'd'));
  });

  it('only goes up when several processes raise it at one time', async () => {
    const state = fresh();
    const versions = [3, 1, 9, 4, 2, 8, 5];
    await Promise.all(versions.map((version) => new PolicyMemory(state).raise(policy(version, 'a'))));
    expect(new PolicyMemory(state).read()?.version).toBe(9);
  });

  it('is refused when its file says something else', () => {
    const state = fresh();
    state.write('policy-seen.json', '{"version":0,"digest":"x"}');
    expectRefusal('agent-state', () => new PolicyMemory(state).read());
  });
});

describe('the newest checkpoint', () => {
  const signer = noteSigner('example.org/log', 'note', generateKeyPairSync('ed25519').privateKey);
  const stranger = noteSigner('example.org/log', 'note', generateKeyPairSync('ed25519').privateKey);

  function note(log: MemoryLog, by = signer, origin = 'example.org/log') {
    const text = formatCheckpoint({ origin, size: log.edge.size, root: log.root });
    return formatNote({ text, signatures: [signNote(text, by)] });
  }
  /** A host that saw the log at size 3. */
  function memoryOf(log: MemoryLog) {
    const state = fresh();
    state.write('checkpoint', note(log));
    return new CheckpointMemory(state, () => ({ log: [signer.key], succession: [] }));
  }

  it('advances along a consistency proof, and stays where it is for the same size', async () => {
    const later = logOf(7, 1);
    const memory = memoryOf(logOf(3));
    const proof = await proveConsistency(3n, 7n, later);
    expect(memory.advance(note(later), proof).size).toBe(7n);
    expect(memory.read().size).toBe(7n);
    expect(memory.advance(note(later), []).size).toBe(7n);
  });

  it('never goes back, to a fork, to another log or to what nobody signed', async () => {
    const memory = memoryOf(logOf(3));
    const later = logOf(7, 1);
    const proof = await proveConsistency(3n, 7n, later);
    expectRefusal('log-consistency', () => memory.advance(note(logOf(2)), []));
    const fork = new MemoryLog();
    fork.append(['x', 'y', 'z', 'w'].map((text) => utf8(text)));
    expectRefusal('log-consistency', () => memory.advance(note(fork), proof));
    expectRefusal('log-consistency', () => memory.advance(note(later), proof.slice(1)));
    expectRefusal('log-signature', () => memory.advance(note(later, stranger), proof));
    const renamed = noteSigner('other.org/log', 'note', generateKeyPairSync('ed25519').privateKey);
    expectRefusal('log-origin', () => memory.advance(note(later, renamed, 'other.org/log'), proof));
    expect(memory.read().size).toBe(3n);
  });

  it('goes on in another log only as the authorities named it, from its first entry', async () => {
    const next = noteSigner('example.org/log-2', 'note', generateKeyPairSync('ed25519').privateKey);
    const [opening, grown, fork] = [logOf(1), logOf(4, 1), new MemoryLog()];
    fork.append(['other', 'entries'].map((text) => utf8(text)));
    const root = (log: MemoryLog): string => `sha256:${Buffer.from(log.root).toString('hex')}`;
    const before = logOf(3);
    const state = fresh();
    state.write('checkpoint', note(before));
    const memory = (size: string) =>
      new CheckpointMemory(state, () => ({
        log: [next.key],
        succession: [
          {
            closed: { origin: 'example.org/log', size, root: root(before) },
            kept: '1',
            opened: { origin: 'example.org/log-2', root: root(opening) },
          },
        ],
      }));
    const shown = (log: MemoryLog) => note(log, next, 'example.org/log-2');
    expectRefusal('log-succession', () => memory('2').read());
    expectRefusal('log-succession', () => memory('2').advance(shown(grown), []));
    const proof = await proveConsistency(1n, 4n, grown);
    expectRefusal('log-consistency', () => memory('3').advance(shown(fork), []));
    expectRefusal('log-consistency', () => memory('3').advance(shown(grown), proof.slice(1)));
    // The closed log itself, which its old key goes on signing.
    expectRefusal('log-origin', () => memory('3').advance(note(logOf(7, 1)), []));
    expect(memory('3').read()).toMatchObject({ origin: 'example.org/log-2', size: 1n });
    expect(memory('3').advance(shown(grown), proof).size).toBe(4n);
    expect(memory('3').read().size).toBe(4n);
  });

  it('is part of every enrolled state', () => {
    expectRefusal('agent-state', () =>
      new CheckpointMemory(fresh(), () => ({ log: [signer.key], succession: [] })).read(),
    );
  });
});

describe('the lock of the TPM', () => {
  const lockFile = () => path.join(temporaryDirectory(), 'tpm.lock');

  it('lets one task after the other in', async () => {
    const file = lockFile();
    let inside = 0;
    const task = () =>
      withFileLock(file, async () => {
        expect(++inside).toBe(1);
        await sleep(5);
        inside--;
      });
    await Promise.all([task(), task(), task()]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('is refused after its bound, and the task is told when it held it for so long', async () => {
    const file = lockFile();
    await withFileLock(file, async () => {
      await expectRejection(
        'agent-lock',
        withFileLock(file, () => Promise.resolve(), 40),
      );
    });
    const aborted = await withFileLock(
      file,
      async (signal) => {
        await sleep(60);
        return signal.aborted;
      },
      30,
    );
    expect(aborted).toBe(true);
  });

  it('says that its bound was over where the task ended by it, and what else the task threw', async () => {
    const file = lockFile();
    const wait = async (signal: AbortSignal): Promise<void> => {
      await sleep(10_000, undefined, { signal }).catch(() => undefined);
      signal.throwIfAborted();
    };
    await expectRejection('agent-lock', withFileLock(file, wait, 30));
    const fail = (): Promise<never> => Promise.reject(new TypeError('its own'));
    await expect(withFileLock(file, fail, 30)).rejects.toThrow('its own');
  });

  it('is free again when a process that had it was killed', async () => {
    const file = lockFile();
    const holder = spawn('flock', ['-x', file, 'sh', '-c', 'echo held; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    });
    await once(holder.stdout, 'data');
    await expectRejection(
      'agent-lock',
      withFileLock(file, () => Promise.resolve(), 40),
    );
    process.kill(-(holder.pid ?? 0), 'SIGKILL');
    expect(await withFileLock(file, () => Promise.resolve('mine'))).toBe('mine');
  });
});

describe('the measured logs', () => {
  it('are read to their end, are null where there are none, and have a largest size', () => {
    const directory = temporaryDirectory();
    const [eventLog, imaList] = [path.join(directory, 'e'), path.join(directory, 'i')];
    writeFileSync(eventLog, new Uint8Array(3_000_000).fill(7));
    const read = evidenceLogs({ eventLog, imaList }).eventLog() ?? new Uint8Array();
    expect(Buffer.compare(read, readFileSync(eventLog))).toBe(0);
    expect(evidenceLogs({ eventLog, imaList }).imaList()).toBeNull();
    writeFileSync(eventLog, new Uint8Array(LIMITS.eventLog + 1));
    expectRefusal('agent-log', () => evidenceLogs({ eventLog, imaList }).eventLog());
    mkdirSync(imaList);
    expectRefusal('agent-log', () => evidenceLogs({ eventLog: imaList, imaList }).eventLog());
  });
});

describe('a state directory that can’t be looked at', () => {
  it('is no host that isn’t enrolled', () => {
    const state = fresh();
    const loop = path.join(temporaryDirectory(), 'loop');
    symlinkSync(loop, loop);
    expectRefusal('agent-state-access', () => StateDirectory.open(path.join(loop, 'state')));
    symlinkSync(path.join(loop, 'x'), state.at('identity.json'));
    expectRefusal('agent-state-access', () => StateDirectory.open(state.path));
    expectRefusal('agent-not-enrolled', () => StateDirectory.open(path.join(temporaryDirectory(), 'none')));
  });
});
