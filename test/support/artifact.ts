import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { encodeStatement, normalKey, parseTrust, signDsse, dsseJson } from '../../src/artifact/index.ts';
import type {
  ArtifactTrust,
  ContentDigests,
  SignatureEnvelope,
  SigningKey,
} from '../../src/artifact/index.ts';
import { toHex, utf8 } from '../../src/base/index.ts';
import type { JsonObject, JsonValue } from '../../src/base/index.ts';

/** 22 November 2026, noon. */
export const NOW = Date.UTC(2026, 10, 22, 12);
export const CLOCK = { now: () => NOW };

export function digestsOf(content: Uint8Array): Required<ContentDigests> {
  const of = (name: string): Uint8Array => new Uint8Array(createHash(name).update(content).digest());
  return { sha256: of('sha256'), sha384: of('sha384'), sha512: of('sha512') };
}

export const CONTENT = utf8('#!/bin/sh\necho governed\n');
export const DIGESTS = digestsOf(CONTENT);
export const SHA256 = toHex(DIGESTS.sha256);

/** Fresh keys of every type, made once per test file. */
export function makeKeys(): Record<'ed' | 'ec' | 'ec2' | 'rsa', SigningKey> {
  const key = (pair: {
    privateKey: SigningKey['privateKey'];
    publicKey: SigningKey['privateKey'];
  }): SigningKey => ({
    privateKey: pair.privateKey,
    publicKey: normalKey(pair.publicKey),
  });
  return {
    ed: key(generateKeyPairSync('ed25519')),
    ec: key(generateKeyPairSync('ec', { namedCurve: 'P-256' })),
    ec2: key(generateKeyPairSync('ec', { namedCurve: 'P-256' })),
    rsa: key(generateKeyPairSync('rsa', { modulusLength: 2048 })),
  };
}

export function publicPem(key: SigningKey): string {
  return key.publicKey.key.export({ type: 'spki', format: 'pem' }) as string;
}

const ALGORITHM = { ed25519: 'ed25519', 'ecdsa-p256': 'ecdsa-p256', rsa: 'rsa-pss' } as const;

/** A signer of a trust document. */
export function signer(key: SigningKey, more: JsonObject = {}): JsonObject {
  return { name: 'release', key: publicPem(key), algorithm: ALGORITHM[key.publicKey.type], ...more };
}

export function trustOf(members: Record<string, JsonValue>): ArtifactTrust {
  return parseTrust(utf8(JSON.stringify({ version: 1, ...members })));
}

/** A DSSE envelope by this key, with changes to the statement or the envelope. */
export function dsse(
  key: SigningKey,
  change: { name?: string; version?: string; signedAt?: number; sha256?: string; payload?: Uint8Array } = {},
): SignatureEnvelope {
  const { name = 'tool', sha256 = SHA256, version, signedAt = NOW } = change;
  const statement = encodeStatement({
    name,
    sha256,
    signedAt,
    ...(version === undefined ? {} : { version }),
  });
  return jsonEnvelope(dsseJson(signDsse(change.payload ?? statement, key)));
}

export function jsonEnvelope(value: JsonValue): SignatureEnvelope {
  return { format: 'dsse', bytes: utf8(JSON.stringify(value)) };
}

/** A statement as JSON text, for signing what `encodeStatement` would never write. */
export function statementOf(members: Record<string, JsonValue>): Uint8Array {
  return utf8(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ name: 'tool', digest: { sha256: SHA256 } }],
      predicateType: 'https://sealgate.dev/artifact/v1',
      predicate: {},
      ...members,
    }),
  );
}

/** Runs a tool in a directory; its output, or an error with what it wrote. */
export function tool(
  directory: string,
  command: string,
  args: readonly string[],
  input?: Uint8Array,
): string {
  return execFileSync(command, args, {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    input: input ?? '',
  });
}

export function read(directory: string, file: string): Uint8Array {
  return new Uint8Array(readFileSync(path.join(directory, file)));
}

export function readText(directory: string, file: string): string {
  return readFileSync(path.join(directory, file), 'utf8');
}
