import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import {
  QUIRKS,
  describeEvent,
  devicePathText,
  interpretEventLog,
  matchEventLog,
  parseEventLog,
  parseLoadOption,
  parseSignatureLists,
  parseVariable,
  replayEventLog,
} from '../../src/evidence/index.ts';
import type { Quirk } from '../../src/evidence/index.ts';
import type { FuzzTarget } from '../fuzz.ts';

const DATA = path.resolve(import.meta.dirname, '../../test/data/eventlogs');

/** Small sound logs and forged ones: large ones only slow the fuzzer down. */
function logs(): Uint8Array[] {
  const generated = readdirSync(path.join(DATA, 'generated')).filter((name) => name.endsWith('.bin'));
  const files = [
    ...generated.map((name) => `generated/${name}`),
    'tpm2-tools/event-sd-boot-fedora37.bin',
    'tpm2-tools/event-uefi-sha1-log.bin',
    'boots/plain-boot/eventlog.bin',
    'boots/secure-boot/eventlog.bin',
  ];
  return files.map((name) => new Uint8Array(readFileSync(path.join(DATA, name))));
}

const VARIABLE_TYPES = new Set([0x8000_0001, 0x8000_0002, 0x8000_00e0]);

/** The data of every variable event in the seeds. */
function variables(): Uint8Array[] {
  const sound = logs().slice(-4);
  return sound.flatMap((log) =>
    parseEventLog(log)
      .events.filter(({ type }) => VARIABLE_TYPES.has(type))
      .map(({ data }) => Uint8Array.from(data)),
  );
}

function values(): Uint8Array[] {
  return variables()
    .flatMap((data) => parseVariable(data)?.value ?? [])
    .map((value) => Uint8Array.from(value));
}

/** The device paths inside Boot#### variables: behind attributes, length and description. */
function devicePaths(): Uint8Array[] {
  const paths = values().flatMap((value) => {
    const bytes = Buffer.from(value);
    for (let at = 6; at + 2 <= bytes.length; at += 2) {
      if (bytes.readUInt16LE(at) === 0)
        return [new Uint8Array(bytes.subarray(at + 2, at + 2 + bytes.readUInt16LE(4)))];
    }
    return [];
  });
  return [...paths, Uint8Array.of(0x7f, 0xff, 4, 0)];
}

export const targets: Record<string, FuzzTarget> = {
  eventlog: {
    seeds: logs,
    run: (input) => {
      const log = parseEventLog(input);
      const [bank] = log.banks;
      if (bank === undefined) return;
      matchEventLog(log, new Map([[bank, replayEventLog(log, bank)]]));
      const { ties } = interpretEventLog(log, log.banks);
      interpretEventLog(log, [bank], new Set(Object.keys(QUIRKS) as Quirk[]));
      for (const event of log.events) describeEvent(event, ties[event.index] ?? 'no');
    },
  },
  'efi-variable': {
    seeds: variables,
    run: (input) => {
      parseVariable(input);
    },
  },
  'efi-signature-list': {
    seeds: values,
    run: (input) => {
      parseSignatureLists(input);
    },
  },
  'efi-load-option': {
    seeds: values,
    run: (input) => {
      parseLoadOption(input);
    },
  },
  'efi-device-path': {
    seeds: devicePaths,
    run: (input) => {
      devicePathText(input);
    },
  },
};
