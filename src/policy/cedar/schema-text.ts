/**
 * The Cedar schema of this version: everything that a policy may look at, with types (docs/POLICY.md explains each
 * member). `policy init` writes it as `schema.cedarschema`; a bundle's own schema may differ in one type only,
 * `InitiatorClaims`, which names the claims of initiators' tokens that its policies use.
 */
export const CEDAR_SCHEMA = `// What policies may look at. Only verified facts are in the context; what is optional ("?") needs "has" first.
// One type is yours: InitiatorClaims. Everything else is part of Sealgate, and a build refuses another text.

// Who asks: the execution that starts a child, else the initiator, else the host itself.
entity Execution;
entity Initiator;
entity Host;
// Who administers.
entity Operator;
// What is asked about.
entity Artifact;
entity Policy;
entity Secret;
entity Key;

// AR4SI: 2 affirming, 3 affirming with less proof, 32 and above warning, 96 and above contraindicated.
type TrustVector = {
  instanceIdentity?: Long,
  configuration?: Long,
  executables?: Long,
  fileSystem?: Long,
  hardware?: Long,
  storageOpaque?: Long,
  sourcedData?: Long
};
type Appraisal = {
  status: String,
  vector: TrustVector,
  exempt: Set<String>
};
type HostContext = {
  id: String,
  name: String,
  platform: String,
  labels: Set<String>,
  sets: Set<String>,
  manufacturer?: String,
  state: String,
  runtime: String,
  appraisal: Appraisal
};
type ArtifactContext = {
  name: String,
  digest: String,
  type: String,
  version?: String,
  executedDigest?: String,
  signers: Set<String>
};
// Claims of an initiator's token: Long, String, Bool or Set<String>, each with "?".
type InitiatorClaims = {
};
type InitiatorContext = {
  issuer: String,
  subject: String,
  proven: Bool,
  claims: InitiatorClaims
};
type Interpreter = {
  path: String,
  sha256: String,
  measured: Bool,
  arguments: Set<String>
};
type RequestContext = {
  scopes: Set<String>,
  credentials: Set<String>,
  privileged: Bool,
  isolated: Bool,
  argv0: String,
  arguments: Set<String>,
  argumentCount: Long,
  environment: Set<String>,
  cwd: String,
  uid: Long,
  gid: Long,
  interpreter?: Interpreter
};
type ParentContext = {
  execution: String,
  host: String,
  artifact: String,
  scopes: Set<String>,
  depth: Long
};
// Where it is in a chain of executions that start executions: 0 begins one. The origin is the same all along it.
type DelegationContext = {
  origin: String,
  depth: Long
};
type OperatorContext = {
  name: String,
  roles: Set<String>
};
type TargetContext = {
  kind: String,
  id: String
};

action Execute appliesTo {
  principal: [Execution, Initiator, Host],
  resource: [Artifact],
  context: {
    time: Long,
    host: HostContext,
    artifact: ArtifactContext,
    initiator?: InitiatorContext,
    request: RequestContext,
    delegation: DelegationContext,
    parent?: ParentContext
  }
};

action Enroll appliesTo {
  principal: [Host],
  resource: [Host],
  context: {
    time: Long,
    admission: String,
    platform: String,
    labels: Set<String>,
    certified: Bool
  }
};

action Administer;
action Invite, Approve, Quarantine, Restore, Label in [Administer] appliesTo {
  principal: [Operator],
  resource: [Host],
  context: { time: Long, operator: OperatorContext, target: TargetContext }
};
action Revoke in [Administer] appliesTo {
  principal: [Operator],
  resource: [Host, Execution, Artifact, Initiator, Policy, Key],
  context: { time: Long, operator: OperatorContext, target: TargetContext }
};
action Stage, Publish in [Administer] appliesTo {
  principal: [Operator],
  resource: [Policy],
  context: { time: Long, operator: OperatorContext, target: TargetContext }
};
action PutSecret, RotateSecret, RemoveSecret in [Administer] appliesTo {
  principal: [Operator],
  resource: [Secret],
  context: { time: Long, operator: OperatorContext, target: TargetContext }
};
`;
