import type { JsonObject } from '../base/index.ts';

const name = { type: 'string', pattern: '^[a-z0-9][a-z0-9-]{0,62}$' };
const fileOr = (description: string): JsonObject => ({
  description: `${description}: a file in this directory, or the object itself`,
  oneOf: [{ type: 'string' }, { type: 'object' }],
});
const texts = (description: string): JsonObject => ({
  description,
  type: 'array',
  items: { type: 'string' },
  uniqueItems: true,
});
const range = (description: string, minimum: number, maximum: number): JsonObject => ({
  description,
  type: 'integer',
  minimum,
  maximum,
});
const closed = (required: readonly string[], properties: JsonObject, more: JsonObject = {}): JsonObject => ({
  type: 'object',
  additionalProperties: false,
  required,
  properties,
  ...more,
});
const named = (member: JsonObject): JsonObject => ({
  type: 'object',
  propertyNames: name,
  additionalProperties: member,
});

const platform = closed(
  ['quoted', 'sealed', 'references', 'quirks', 'runtime', 'gateway', 'requiredClaims'],
  {
    quoted: {
      type: 'string',
      description: 'PCRs that a quote must cover, e.g. sha256:0,1,2,3,4,5,6,7,8,9,10,14; PCR 23 is added',
    },
    sealed: {
      type: 'string',
      description:
        'PCRs that a release is sealed to, among the quoted ones; never 10, 11, 15; PCR 23 is added',
    },
    references: fileOr('Reference values (sealgate policy learn)'),
    quirks: texts('Departures of this firmware’s event log that are tolerated'),
    runtime: {
      enum: ['measured', 'unmeasured'],
      description:
        'measured: an IMA list is required; unmeasured: only the boot is proved, and results say so',
    },
    gateway: {
      enum: ['measured', 'unmeasured'],
      description: 'whether Sealgate’s own files must be measured',
    },
    requiredClaims: texts('AR4SI claims that must be affirming'),
  },
);
const hostSet = closed([], {
  hosts: texts('hostIds'),
  labels: texts('key=value, all of which a host must have'),
  platforms: texts('platforms of this bundle'),
});
const credential = {
  oneOf: [
    closed(['kind', 'ttl', 'path', 'hosts'], {
      kind: { const: 'x509-svid' },
      ttl: range('Seconds', 1, 604_800),
      path: {
        type: 'string',
        description: 'SPIFFE path, e.g. /workload/{platform}/{artifact}; also {scope} and {host}',
      },
      hosts: texts('Host sets that it is granted to'),
    }),
    closed(['kind', 'ttl', 'path', 'audiences', 'hosts'], {
      kind: { const: 'jwt-svid' },
      ttl: range('Seconds', 1, 300),
      path: { type: 'string', description: 'SPIFFE path, as of x509-svid' },
      audiences: {
        description: 'Who may accept it',
        type: 'array',
        minItems: 1,
        maxItems: 16,
        uniqueItems: true,
        items: { type: 'string' },
      },
      hosts: texts('Host sets that it is granted to'),
    }),
    closed(['kind', 'secret', 'hosts'], {
      kind: { const: 'secret' },
      secret: name,
      hosts: texts('Host sets that it is granted to'),
    }),
  ],
};
const initiator = closed(['issuer', 'jwks', 'bearer', 'maxLifetime', 'claims'], {
  issuer: { type: 'string', description: 'The iss claim, compared literally' },
  jwks: fileOr('Its key set (RFC 7517)'),
  bearer: {
    type: 'boolean',
    description: 'true: tokens without proof of possession are accepted, each once',
  },
  maxLifetime: range('Longest life of a token, seconds', 1, 86_400),
  claims: texts('Claims that policies may look at; each is in the schema’s InitiatorClaims'),
});

const shown = {
  audiences: texts('Relying parties that an authorization may be shown to; empty: none'),
  uses: range('Requests that a relying party accepts of it and of what it starts', 0, 1_000_000_000),
};

/** JSON Schema (2020-12) of policy.yaml, for editors; what is refused in the end is what `policy build` refuses. */
export const POLICY_JSON_SCHEMA: JsonObject = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'https://sealgate.dev/schema/policy-v1.json',
  title: 'Sealgate policy.yaml',
  ...closed(
    [
      'trustDomain',
      'version',
      'previous',
      'validity',
      'platforms',
      'artifacts',
      'hostSets',
      'initiators',
      'credentials',
      'delegation',
      'sealing',
      'limits',
      'execution',
      'attribution',
    ],
    {
      trustDomain: { type: 'string', description: 'The trust domain that this policy is for' },
      version: range('Counts up; a lower one than was ever active is refused', 1, 1_000_000_000),
      previous: {
        description: 'policyHash of the version before; null in version 1',
        oneOf: [{ type: 'string', pattern: '^sha256:[0-9a-f]{64}$' }, { type: 'null' }],
      },
      validity: closed(['notBefore', 'notAfter'], {
        notBefore: { type: 'string', format: 'date-time' },
        notAfter: { type: 'string', format: 'date-time' },
      }),
      platforms: named(platform),
      artifacts: fileOr('Who may sign what runs: a trust document'),
      hostSets: named(hostSet),
      initiators: { type: 'array', items: initiator },
      credentials: named(credential),
      delegation: closed(['maxDepth', 'maxChildren'], {
        maxDepth: range('Longest chain of executions that start executions; 0: none', 0, 8),
        maxChildren: range('Executions that one may start, all descendants counted', 0, 100_000),
      }),
      sealing: closed(['expiration'], { expiration: range('Seconds in which a release opens', 1, 120) }),
      limits: closed(
        ['authorizationLifetime', 'executionLifetime', 'attestationInterval', 'executionsPerHost'],
        {
          authorizationLifetime: range('Seconds until an authorization must be renewed', 1, 300),
          executionLifetime: range('Seconds after which an execution ends in any case', 1, 31_622_400),
          attestationInterval: range('Seconds between attestations of an idle host', 10, 86_400),
          executionsPerHost: range('Executions that one host may run at a time', 1, 256),
        },
      ),
      attribution: {
        description: 'Who answers for an artifact, by its name',
        type: 'object',
        additionalProperties: closed([], {
          owner: { type: 'string' },
          purpose: { type: 'string' },
          change: { type: 'string' },
        }),
      },
      witnessed: closed(['policy', 'actions'], {
        policy: { type: 'string', description: 'A tlog-policy: whose cosignatures a checkpoint must have' },
        actions: {
          description: 'Answers that must come with such a checkpoint',
          type: 'array',
          minItems: 1,
          uniqueItems: true,
          items: { enum: ['execution', 'attestation'] },
        },
        artifacts: texts('Executions of these artifacts only; without it, of all'),
      }),
      presentation: closed([], {
        ...shown,
        artifacts: {
          description: 'Limits of an artifact’s authorizations, by its name, besides the general ones',
          type: 'object',
          additionalProperties: closed([], shown),
        },
      }),
      execution: closed(['loaderVariables'], {
        loaderVariables: texts('Code-selecting environment variables that a request may set all the same'),
      }),
    },
  ),
};
