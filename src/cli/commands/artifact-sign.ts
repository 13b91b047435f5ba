import { existsSync } from 'node:fs';
import path from 'node:path';
import {
  DEFAULT_NAMESPACE,
  addSignature,
  dsseJson,
  encodeStatement,
  isVersion,
  joinDsse,
  parsePrivateKey,
  parseTime,
  signCms,
  signDsse,
  signSshsig,
} from '../../artifact/index.ts';
import type {
  DsseEnvelope,
  EcdsaEncoding,
  SignatureFormat,
  SigningKey,
  StatementInput,
} from '../../artifact/index.ts';
import { LIMITS, toHex } from '../../base/index.ts';
import { parsePem } from '../../x509/index.ts';
import type { MeasuredArtifact } from '../../gateway/artifact/measure-artifact.ts';
import { measureInput, signaturePath, writeWhole } from '../artifact-files.ts';
import { systemClock } from '../clock.ts';
import { UsageError } from '../errors.ts';
import { readInput } from '../input.ts';

export interface SignOptions {
  readonly key: string;
  readonly format: SignatureFormat;
  readonly encoding: EcdsaEncoding;
  readonly name?: string;
  readonly artifactVersion?: string;
  readonly notBefore?: string;
  readonly notAfter?: string;
  readonly cert?: string;
  readonly namespace?: string;
  readonly output?: string;
}

/** What was written. */
export interface SignAnswer {
  /** The signature file. */
  readonly signature: string;
  readonly format: SignatureFormat;
  readonly digest: string;
  /** `sha256:` and the hex of the key's SPKI digest, as trust documents and `verify` show it. */
  readonly key: string;
  /** Signatures in that file now. */
  readonly signatures: number;
}

/** @throws UsageError on options that don't fit the format; Refusal on keys and artifacts that can't be used */
export async function signArtifact(file: string, options: SignOptions): Promise<SignAnswer> {
  checkOptions(options);
  const key = parsePrivateKey(readInput(options.key, 'private key', 65_536));
  const measured = await measureInput(file);
  const signature = options.output ?? signaturePath(file, options.format);
  const { content, signatures } = makeFile(file, signature, measured, key, options);
  writeWhole(signature, content);
  const { format } = options;
  return {
    signature,
    format,
    digest: toHex(measured.digests.sha256),
    key: key.publicKey.fingerprint,
    signatures,
  };
}

/** Options of another format would be dropped silently: the signer has to know what was signed. */
function checkOptions(options: SignOptions): void {
  const only = (format: SignatureFormat, names: readonly (keyof SignOptions)[]): void => {
    const odd = format === options.format ? undefined : names.find((name) => options[name] !== undefined);
    if (odd !== undefined) throw new UsageError(`--${kebab(odd)} is for --format ${format}`);
  };
  only('dsse', ['artifactVersion', 'notBefore', 'notAfter']);
  only('cms', ['cert']);
  only('ssh', ['namespace']);
  if (options.name === '' || (options.name?.length ?? 0) > 1024)
    throw new UsageError('--name has 1 to 1024 characters');
  if (options.format === 'cms' && options.cert === undefined)
    throw new UsageError('--format cms needs --cert');
  if (options.artifactVersion !== undefined && !isVersion(options.artifactVersion)) {
    throw new UsageError('--artifact-version is not a version like 1.4.2');
  }
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function makeFile(
  file: string,
  signature: string,
  { digests }: MeasuredArtifact,
  key: SigningKey,
  options: SignOptions,
): { content: Uint8Array | string; signatures: number } {
  const { sha256 } = digests;
  const now = systemClock.now();
  switch (options.format) {
    case 'dsse': {
      const envelope = dsseEnvelope(
        signature,
        statement(file, toHex(sha256), options, now),
        key,
        options.encoding,
      );
      return { content: `${JSON.stringify(dsseJson(envelope))}\n`, signatures: envelope.signatures.length };
    }
    case 'cms': {
      const certificates = parsePem(readInput(options.cert ?? '', 'certificate', LIMITS.signature));
      return { content: signCms({ sha256, key, certificates, signingTime: now }), signatures: 1 };
    }
    case 'ssh':
      return { content: signSshsig(sha256, key, options.namespace ?? DEFAULT_NAMESPACE), signatures: 1 };
  }
}

function statement(file: string, sha256: string, options: SignOptions, now: number): StatementInput {
  const time = (name: string, text: string | undefined): number | undefined => {
    if (text === undefined) return undefined;
    const ms = parseTime(text);
    if (ms === undefined) throw new UsageError(`${name} is not a time like 2026-11-22T20:00:00Z`);
    return ms;
  };
  const notBefore = time('--not-before', options.notBefore);
  const notAfter = time('--not-after', options.notAfter);
  return {
    name: options.name ?? path.basename(path.resolve(file)),
    sha256,
    // Whole seconds: what is written is what is read.
    signedAt: Math.floor(now / 1000) * 1000,
    ...(options.artifactVersion === undefined ? {} : { version: options.artifactVersion }),
    ...(notBefore === undefined ? {} : { notBefore }),
    ...(notAfter === undefined ? {} : { notAfter }),
  };
}

/** Joins the signatures that are already there when they say the same; else the file is written anew. */
function dsseEnvelope(
  signature: string,
  wanted: StatementInput,
  key: SigningKey,
  encoding: EcdsaEncoding,
): DsseEnvelope {
  const before = existsSync(signature)
    ? joinDsse(readInput(signature, 'DSSE envelope', LIMITS.signature), wanted)
    : undefined;
  return before === undefined
    ? signDsse(encodeStatement(wanted), key, encoding)
    : addSignature(before, key, encoding);
}
