import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { examineChain, parseVector, runVector, verifyAuthorization } from '../../authorization/index.ts';
import { VECTOR_LIMITS } from '../../authorization/index.ts';
import type { AuthorizationClaims, ExaminedChain, RefusedOutcome } from '../../authorization/index.ts';
import { Refusal, refuse } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { toDenial } from '../../lifecycle/denial.ts';
import { readChain, readChainTrust, readUse } from '../authorization-files.ts';
import type { AuthorizationFlags } from '../authorization-files.ts';
import { systemClock } from '../clock.ts';
import { UsageError } from '../errors.ts';
import { readInput } from '../input.ts';
import { factRows, paint, printJson, printable, table } from '../output.ts';
import { printDenial } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface Options extends AuthorizationFlags {
  readonly vector?: string;
  readonly now?: number;
  readonly strict?: boolean;
}

const HELP = `
FILE has the chain's tokens, root first, one a line. What the flags don't allow to check is listed as unchecked: the
holder needs --proof, --holder-key, --nonce and --request-digest, scopes need them too, and the status needs --status.
--keys is a verifier's /.well-known/jwks.json, whose keys name their purpose, or a key set of authorization keys alone.
Without --audience the authorization must be for the gateway of the host that it names.

A vector (share/schema/authorization-vector.json) brings chain, use, trust and time, and states the outcome: exit 0
when that is what comes of it.

Examples:
  sealgate verify authorization chain.jwt --keys jwks.json --issuer https://verifier.example.org \\
    --trust-domain example.org --status status.jwt --strict
  sealgate verify authorization --vector vector.json --json
`;

/** `sealgate verify authorization`: a chain of authorization artifacts, offline. */
export function registerVerifyAuthorization(program: Command, context: CommandContext): void {
  group(program, 'verify', 'verify evidence, authorizations and proofs offline; exit 0 only if it verifies')
    .command('authorization [file]')
    .description(
      'verify a chain of authorization artifacts: signatures, delegation, time, holder, status, limits',
    )
    .option('--vector <file>', 'a test vector; needs no other flag')
    .option('--keys <file>', 'public keys of the verifier (JWKS)')
    .option('--issuer <url>', 'the iss that it must have')
    .option('--trust-domain <domain>', 'the trust domain that it must be of')
    .option('--audience <name>', 'the aud that it must have')
    .option('--status <file>', 'a signed status list; repeatable', append, [])
    .option('--status-keys <file>', 'keys for status lists, where --keys doesn’t have them (JWKS)')
    .option('--scope <scope>', 'a scope that is asked for; repeatable', append, [])
    .option('--accept <scope>', 'a scope that may be used here at all; repeatable', append, [])
    .option('--proof <file>', 'the holder’s proof')
    .option('--holder-key <file>', 'the holder’s public key (JWK)')
    .option('--proof-audience <name>', 'whom the proof is for (default: the trust domain)')
    .option('--nonce <text>', 'the nonce that was asked with')
    .option('--request-digest <hex>', 'SHA-256 of the request')
    .option('--max-depth <n>', 'deepest chain that is accepted', wholeNumber)
    .option('--max-lifetime <seconds>', 'longest life that is accepted', wholeNumber)
    .option('--now <seconds>', 'Unix time to verify at (default: the clock)', wholeNumber)
    .option('--strict', 'refuse when something was not checked')
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action(async (file: string | undefined, options: Options) => {
      if ((file === undefined) === (options.vector === undefined))
        throw new UsageError('give a file with a chain, or --vector FILE');
      if (options.vector !== undefined) await verifyVector(options.vector, context);
      else if (file !== undefined) await verifyFile(file, options, context);
    });
}

async function verifyVector(file: string, { io, json, exit }: CommandContext): Promise<void> {
  const vector = parseVector(readInput(file, 'vector', VECTOR_LIMITS.maxBytes));
  const { ok, outcome, expected, refusal } = await runVector(vector);
  const answer = {
    name: vector.name,
    outcome,
    expected,
    check: refusal?.check ?? null,
    reason: refusal?.reason ?? null,
    detail: refusal?.detail ?? null,
  };
  if (ok) {
    if (json) printJson(io, { ok, denial: null, ...answer });
    else {
      io.stdout(`${paint(io, 'green', 'as stated')} ${printable(vector.name)}: ${outcome}\n`);
      if (refusal !== null) io.stdout(`  reason  ${printable(refusal.reason)}\n`);
    }
    return;
  }
  const denial = new Refusal('vector-outcome', `the outcome is ${outcome}, the vector states ${expected}`, {
    outcome,
    expected,
  });
  printDenial(toDenial(denial), io, json, answer);
  if (!json && refusal !== null) io.stderr(`  outcome ${outcome}: ${printable(refusal.reason)}\n`);
  exit(1);
}

async function verifyFile(file: string, options: Options, context: CommandContext): Promise<void> {
  const { io, json, exit } = context;
  const use = readUse(options);
  const unchecked = uncheckedOf(options);
  try {
    const now = options.now ?? Math.floor(systemClock.now() / 1000);
    const trust = await readChainTrust(options, now);
    const chain = readChain(file);
    if (options.strict === true && unchecked.length > 0)
      refuse('authorization-unchecked', `not checked (--strict): ${unchecked.join(', ')}`, { unchecked });
    const verified =
      use === null
        ? await examineChain(chain, trust, now)
        : await verifyAuthorization(chain, use, trust, now);
    const answer = { outcome: 'ok', check: null, reason: null, unchecked, ...chainJson(verified) };
    if (json) printJson(io, { ok: true, denial: null, ...answer });
    else printChain(context, verified, unchecked);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { check, reason } = error;
    printDenial(toDenial(error, 'authorization'), io, json, { outcome: check, check, reason, unchecked });
    exit(1);
  }
}

/** The rules that the flags give nothing for. */
function uncheckedOf({ proof, status }: Options): RefusedOutcome[] {
  return [
    ...(proof === undefined ? (['holder_binding_failed', 'scope_not_granted'] as const) : []),
    ...(status.length === 0 ? (['revoked', 'status_unknown'] as const) : []),
  ];
}

const chainJson = ({ claims, ancestors }: ExaminedChain): JsonObject => ({
  // Interfaces have no index signature; the claims came out of a parser of JSON.
  claims: claims as unknown as JsonObject,
  lineage: [...ancestors, claims].map(({ client_id: execution, jti, authorization_details: [{ host }] }) => ({
    execution,
    jti,
    host,
  })),
});

function printChain(
  { io }: CommandContext,
  { claims, ancestors }: ExaminedChain,
  unchecked: readonly string[],
): void {
  io.stdout(
    `${unchecked.length === 0 ? paint(io, 'green', 'verified') : paint(io, 'yellow', 'verified in part')}\n`,
  );
  io.stdout(
    table(factRows(summary(claims, ancestors.length)).map(([name = '', ...rest]) => [`  ${name}`, ...rest])),
  );
  for (const rule of unchecked) io.stdout(`  not checked: ${rule}\n`);
}

function summary(claims: AuthorizationClaims, ancestors: number): JsonObject {
  const [{ scopes, host, artifact, constraints }] = claims.authorization_details;
  return {
    origin: claims.sub,
    execution: claims.client_id,
    lineage: claims.txn,
    ancestors,
    host,
    artifact,
    scopes,
    constraints: { ...constraints },
    expires: new Date(claims.exp * 1000).toISOString(),
    policy: claims.policy.digest,
  };
}

const append = (value: string, all: readonly string[]): readonly string[] => [...all, value];

function wholeNumber(text: string): number {
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text)) throw new InvalidArgumentError('not a whole number');
  return Number(text);
}
