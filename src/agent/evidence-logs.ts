import { closeSync, openSync, readSync } from 'node:fs';
import { LIMITS, concat, refuse } from '../base/index.ts';
import { KERNEL_LOGS } from './collect-evidence.ts';

/** Where a host's measured logs are. */
export interface LogPaths {
  readonly eventLog: string;
  readonly imaList: string;
}

export const KERNEL_LOG_PATHS: LogPaths = { eventLog: KERNEL_LOGS.eventlog, imaList: KERNEL_LOGS.ima };

/** A host's logs as they are when asked: the IMA list is read after the quote, so that it covers what was quoted. */
export interface EvidenceLogs {
  /** Null where the firmware or kernel gives none. */
  eventLog(): Uint8Array | null;
  imaList(): Uint8Array | null;
}

/** @throws Refusal `agent-log` for a log that is there but can't be read, or is larger than any verifier takes */
export function evidenceLogs({ eventLog, imaList }: LogPaths): EvidenceLogs {
  return {
    eventLog: () => readLog(eventLog, LIMITS.eventLog),
    imaList: () => readLog(imaList, LIMITS.imaList),
  };
}

const CHUNK = 1024 * 1024;

/** Null when it isn't there. */
function readLog(file: string, limit: number): Uint8Array | null {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, 'r');
    return readToEnd(descriptor, limit, file);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    if (error.code === 'ENOENT') return null;
    return refuse('agent-log', `the log can't be read (${String(error.code)})`, { file });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Files of securityfs say that they are empty: they are read until they end. */
function readToEnd(descriptor: number, limit: number, file: string): Uint8Array | null {
  const parts: Uint8Array[] = [];
  for (let total = 0; ;) {
    const part = new Uint8Array(CHUNK);
    const length = readSync(descriptor, part);
    if (length === 0) break;
    total += length;
    if (total > limit) refuse('agent-log', `the log is over ${String(limit)} bytes`, { file });
    parts.push(part.slice(0, length));
  }
  return parts.length === 0 ? null : concat(parts);
}
