import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatVkey, noteSigner } from '../../src/audit/index.ts';
import { LISTED_BY } from '../../src/lineage/index.ts';
import { logVkey } from '../../src/server/index.ts';
import { openSqlite } from '../../src/store/index.ts';
import type { Allowed } from '../server/decision-world.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { LineageWorld } from './lineage-world.ts';

// The whole way with emulated TPMs: alice's execution, its child on another host, and its child.
let lineage: LineageWorld;
let chain: readonly [Allowed, Allowed, Allowed];
const scratch = temporaryDirectory();
beforeAll(async () => {
  lineage = await LineageWorld.open(path.join(temporaryDirectory(), 'v'));
  const [web, batch] = lineage.hosts;
  const first = await lineage.origin(web);
  await web.report(first.request.executionId, 'started', first.workload);
  const second = await lineage.child(batch, first);
  const third = await lineage.child(web, second);
  await web.report(third.request.executionId, 'ended', third.workload, { status: 3 });
  chain = [first, second, third];
}, 180_000);
afterAll(async () => {
  await lineage.close();
});

const idOf = ({ request }: Allowed): string => request.executionId;
const store = () => path.join(lineage.world.directory, 'data', 'store.db');
interface Answer {
  executions: { executionId: string; [name: string]: unknown }[];
  entries: Record<string, { leaf: string; proof: string }>;
  unchecked: string[];
  next: string | null;
}
async function ask(...argv: string[]): Promise<Answer> {
  const { exit, document } = await lineage.json(...argv);
  expect(document['denial']).toBeNull();
  expect(exit).toBe(0);
  return document as unknown as Answer;
}

describe('sealgate exec lineage', () => {
  it('leads from an execution back to its origin, authority, policy, environment and artifact', async () => {
    const [first, second, third] = chain;
    const answer = await ask('exec', 'lineage', idOf(third));
    expect(answer.unchecked).toEqual(['consistency']);
    expect(answer.executions.map(({ executionId }) => executionId)).toEqual([first, second, third].map(idOf));
    const { hash } = lineage.world.bundle!;
    expect(answer.executions[0]).toMatchObject({
      state: 'running',
      parent: null,
      root: idOf(first),
      initiator: { issuer: 'https://people.example.org', subject: 'alice' },
      host: { name: 'web-1', hostId: lineage.hosts[0].hostId },
      artifact: { name: 'report' },
      policy: { digest: hash, deciding: ['run'] },
      environment: { status: 'affirming', vector: { 'instance-identity': 2 } },
    });
    expect(answer.executions[2]).toMatchObject({
      state: 'ended',
      parent: idOf(second),
      root: idOf(first),
      outcomes: [{ state: 'ended', exit: { status: 3 }, reportedBy: 'host' }],
    });
    const policy = answer.executions[0]?.['policy'] as { authorities: string[]; entry: string };
    expect(policy.authorities.length).toBeGreaterThan(0);
    expect(JSON.parse(answer.entries[policy.entry]?.leaf ?? '')).toMatchObject({
      kind: 'policy',
      action: 'publish',
    });
  });

  it('gives each entry with a proof that verify proof checks by itself', async () => {
    const { entries } = await ask('exec', 'lineage', idOf(chain[2]));
    expect(Object.keys(entries).length).toBeGreaterThan(6);
    for (const { leaf, proof } of Object.values(entries)) {
      const [leafFile, proofFile] = [path.join(scratch, 'leaf.json'), path.join(scratch, 'leaf.tlog-proof')];
      writeFileSync(leafFile, leaf);
      writeFileSync(proofFile, proof);
      const verified = await lineage.json('verify', 'proof', proofFile, '--leaf', leafFile);
      expect(verified).toMatchObject({ exit: 0, document: { ok: true, unchecked: [] } });
    }
  });

  it('shows people the tree, and what each hop rests on', async () => {
    const { exit, stdout } = await lineage.run('exec', 'lineage', idOf(chain[2]));
    expect(exit).toBe(0);
    expect(stdout).toMatch(
      /^verified {2}\d+ entries of example\.org\/log, each proved in its checkpoint of \d+\n/,
    );
    expect(stdout).toMatch(/origin {4}alice, vouched for by https:\/\/people\.example\.org {2}\[entry \d+\]/);
    for (const line of [
      /policy +version 1 {2}sha256:[0-9a-f]{64} {2}published \[entry/,
      /environment +affirming, /,
    ])
      expect(stdout.match(new RegExp(line, 'g'))).toHaveLength(3);
    expect(stdout).toMatch(/\n {2}└─ report/);
    expect(stdout).toMatch(/\n {4}└─ report {2}\S+ {2}ended/);
    expect(stdout).toMatch(/outcome +ended with 3, /);
  });

  it('leads down to everything that came of an execution, in pages or by the whole log', async () => {
    const [first, second, third] = chain.map(idOf);
    const answer = await ask('exec', 'lineage', first ?? '', '--descendants');
    expect(answer.executions.map(({ executionId }) => executionId)).toEqual([first, second, third]);
    expect(answer.unchecked).toEqual(['consistency', 'completeness']);
    const page = await ask('exec', 'lineage', first ?? '', '--descendants', '--limit', '2');
    expect(page.executions.map(({ executionId }) => executionId)).toEqual([first, second]);
    const rest = await ask('exec', 'lineage', first ?? '', '--descendants', '--after', page.next ?? '');
    expect(rest.executions.map(({ executionId }) => executionId)).toEqual([third]);
    const whole = await ask('exec', 'lineage', first ?? '', '--descendants', '--whole-log');
    expect(whole.executions.map(({ executionId }) => executionId)).toEqual([first, second, third]);
    expect(whole.unchecked).toEqual(['consistency']);
  });

  it('takes every key of a log whose key is being exchanged, and none that is not its own', async () => {
    const { services } = lineage.world.verifier.server;
    const { privateKey } = generateKeyPairSync('ed25519');
    const foreign = formatVkey(noteSigner('example.org/log', 'note', privateKey).key);
    const answer = await ask(
      'exec',
      'lineage',
      idOf(chain[2]),
      '--log-key',
      `${foreign} ${logVkey(services)}`,
    );
    expect(answer.executions).toHaveLength(3);
    expect(await lineage.json('exec', 'lineage', idOf(chain[2]), '--log-key', foreign)).toMatchObject({
      exit: 1,
      document: { denial: { check: 'log-signature' } },
    });
  });

  it('does not follow a verifier whose ancestors never end', async () => {
    const { store } = lineage.world.verifier.server.services;
    const proxy = store as { lineage: typeof store.lineage };
    const real = store.lineage.bind(store);
    proxy.lineage = async (question) => ({ ...(await real(question)), next: 7 });
    try {
      expect(await lineage.json('exec', 'lineage', idOf(chain[2]))).toMatchObject({
        exit: 1,
        document: { denial: { check: 'verifier-answer' } },
      });
    } finally {
      proxy.lineage = real;
    }
  });

  it('says what it doesn’t know, and what can’t be asked', async () => {
    const unknown = '019a9e2c-7b1e-7c3d-8f20-000000000000';
    expect(await lineage.json('exec', 'lineage', unknown)).toMatchObject({
      exit: 1,
      document: { ok: false, denial: { code: 'not-found' } },
    });
    expect(await lineage.json('exec', 'lineage', unknown, '--whole-log')).toMatchObject({
      exit: 1,
      document: { denial: { check: 'lineage-unknown' } },
    });
    for (const wrong of [
      ['--ancestors', '--descendants'],
      ['--format', 'pdf'],
      ['--format', 'vsa'],
      ['--limit', '0'],
      ['--after', 'x'],
      ['--json', '--format', 'dot'],
    ])
      expect((await lineage.run('exec', 'lineage', idOf(chain[0]), ...wrong)).exit).toBe(2);
  });
});

describe('sealgate exec ls', () => {
  it.each(['host', 'signer', 'policy', 'artifact', 'initiator', 'authority', 'ak', 'build', 'parent'])(
    'lists by %s what the log says',
    async (by) => {
      const [first, second, third] = chain;
      const { executions } = await ask('exec', 'lineage', idOf(first));
      const facts = executions[0] as never as {
        artifact: { signers: string[]; digest: string };
        policy: { digest: string; authorities: string[] };
        environment: { ak: string };
      };
      const all = [first, second, third].map(idOf);
      const wanted: Record<string, [string, string[]]> = {
        host: ['web-1', [idOf(first), idOf(third)]],
        signer: [facts.artifact.signers[0] ?? '', all],
        policy: [facts.policy.digest, all],
        artifact: [facts.artifact.digest, all],
        initiator: ['https://people.example.org#alice', [idOf(first)]],
        authority: [facts.policy.authorities[0] ?? '', all],
        ak: [facts.environment.ak, [idOf(first), idOf(third)]],
        build: ['', all],
        parent: [idOf(first), [idOf(second)]],
      };
      const [, leaf] = Object.values((await ask('exec', 'lineage', idOf(first))).entries);
      expect(leaf).toBeDefined();
      if (by === 'build') {
        const {
          entries,
          executions: [one],
        } = await ask('exec', 'lineage', idOf(first));
        const decision = JSON.parse(entries[String(one?.['entry'])]?.leaf ?? '') as {
          dependencies: { kind: string; id: string }[];
        };
        wanted['build'] = [decision.dependencies.find(({ kind }) => kind === 'build')?.id ?? '', all];
      }
      const [id, expected] = wanted[by] ?? ['', []];
      const listed = await ask('exec', 'ls', '--by', by, id);
      expect(listed.executions.map(({ executionId }) => executionId)).toEqual(expected);
      const blast = await ask('exec', 'ls', '--depends-on', by === 'host' ? lineage.hosts[0].hostId : id);
      for (const one of expected)
        expect(blast.executions.map(({ executionId }) => executionId)).toContain(one);
    },
  );

  it('for people, in pages, and by state', async () => {
    const { stdout } = await lineage.run('exec', 'ls', '--by', 'artifact-name', 'report', '--limit', '1');
    expect(stdout).toMatch(/^EXECUTION +STATE +ARTIFACT +HOST +ALLOWED +ENTRY +BECAUSE\n/);
    expect(stdout).toMatch(/\nmore {6}--after \d+\n$/);
    const ended = await ask('exec', 'ls', '--by', 'artifact-name', 'report', '--state', 'ended');
    expect(ended.executions.map(({ executionId }) => executionId)).toEqual([idOf(chain[2])]);
    expect((await lineage.run('exec', 'ls', '--by', 'signer', 'nobody')).stdout).toContain('no executions');
    expect((await lineage.run('exec', 'ls', '--state', 'running')).stdout).toContain(idOf(chain[0]));
    for (const wrong of [
      ['--by', 'signer'],
      ['--by', 'colour', 'x'],
      ['x'],
      ['--depends-on', 'a', '--by', 'host', 'b'],
    ])
      expect((await lineage.run('exec', 'ls', ...wrong)).exit).toBe(2);
  });
});

describe('somebody who may not read the log', () => {
  it('sees no lineage, of any host', async () => {
    const at = (file: string) => path.join(lineage.world.directory, file);
    const ca = [
      '--ca-key',
      at('offline/operator-ca.key'),
      '--ca-certificate',
      at('certificates/operator-ca.pem'),
    ];
    const role = ['--role', 'policy', '--dir', scratch];
    const made = await lineage.run('operator', 'add', 'policy-only', ...role, ...ca);
    expect(made.exit, made.stdout).toBe(0);
    const read = (ending: string) => path.join(scratch, `policy-only.${ending}`);
    const tls = { cert: readFileSync(read('pem')), key: readFileSync(read('key')) };
    for (const url of [`/v1/lineage/${idOf(chain[0])}?direction=ancestors`, '/v1/lineage?id=x']) {
      expect((await lineage.world.verifier.call({ url, tls })).status).toBe(403);
      expect((await lineage.world.verifier.call({ url, tls: lineage.hosts[0].tls })).status).toBe(403);
      expect((await lineage.world.verifier.call({ url })).status).toBe(401);
    }
  });
});

describe('a store that somebody edited', () => {
  /** Runs statements as who can write the database file, and others that put things back. */
  async function edited<T>(statements: string[], back: string[], act: () => Promise<T>): Promise<T> {
    const db = openSqlite(store());
    try {
      for (const statement of statements) await sql.raw(statement).execute(db);
      return await act();
    } finally {
      for (const statement of back) await sql.raw(statement).execute(db);
      await db.destroy();
    }
  }
  const entryOf = async (id: string): Promise<string> => {
    const { executions } = await ask('exec', 'lineage', id);
    return String(executions.find(({ executionId }) => executionId === id)?.['entry']);
  };

  it('an edited entry is not printed: its proof fails', async () => {
    const entry = await entryOf(idOf(chain[0]));
    const original = await edited([], [], async () => {
      const db = openSqlite(store());
      const { rows } = await sql<{
        hex: string;
      }>`SELECT hex(data) AS hex FROM leaves WHERE position = ${Number(entry)}`.execute(db);
      await db.destroy();
      return rows[0]?.hex ?? '';
    });
    const change = `UPDATE leaves SET data = CAST(replace(CAST(data AS TEXT), '"subject":"alice"', '"subject":"mallo"') AS BLOB) WHERE position = ${entry}`;
    const back = `UPDATE leaves SET data = x'${original}' WHERE position = ${entry}`;
    const { exit, stdout } = await edited([change], [back], () =>
      lineage.run('exec', 'lineage', idOf(chain[2]), '--json'),
    );
    expect(exit).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, denial: { check: 'log-inclusion' } });
    expect(stdout).not.toContain('mallo');
  });

  it('rows that point elsewhere are found out, and rebuild-lineage corrects them', async () => {
    const [first, second] = [await entryOf(idOf(chain[0])), await entryOf(idOf(chain[1]))];
    const swap = `UPDATE lineage SET leaf = ${first}, node = node + 100000 WHERE node = ${second}`;
    const config = path.join(lineage.world.directory, 'sealgate.yaml');
    const dump = async () => {
      const db = openSqlite(store());
      const { rows } = await sql`SELECT key, node, leaf FROM lineage ORDER BY key, node`.execute(db);
      await db.destroy();
      return rows;
    };
    const before = await dump();
    await edited([swap], [], async () => {
      expect(await lineage.json('exec', 'lineage', idOf(chain[2]))).toMatchObject({
        exit: 1,
        document: { denial: { check: 'lineage-index' } },
      });
      // Who reads the whole log needs no index.
      expect((await ask('exec', 'lineage', idOf(chain[2]), '--whole-log')).executions).toHaveLength(3);
    });
    const rebuilt = await cli('store', 'rebuild-lineage', '--config', config, '--json');
    expect(rebuilt.exit).toBe(1);
    expect(JSON.parse(rebuilt.stdout)).toMatchObject({ ok: false, denial: null });
    expect(await dump()).toEqual(before);
    const again = await cli('store', 'rebuild-lineage', '--config', config);
    expect(again).toMatchObject({ exit: 0, stdout: expect.stringMatching(/^the same\n/) as string });
    expect((await ask('exec', 'lineage', idOf(chain[2]))).executions).toHaveLength(3);
  });

  it('an attestation result that is another one is refused; one that is gone is not kept', async () => {
    const { executions } = await ask('exec', 'lineage', idOf(chain[1]));
    const { result } = executions.at(-1)?.['environment'] as { result: string };
    const sha256 = result.slice('sha256:'.length);
    const rename = `UPDATE bodies SET sha256 = 'x' WHERE sha256 = '${sha256}'`;
    const back = `UPDATE bodies SET sha256 = '${sha256}' WHERE sha256 = 'x'`;
    const without = await edited([rename], [back], () => ask('exec', 'lineage', idOf(chain[1])));
    expect(without.executions.at(-1)).toMatchObject({ environment: { status: 'not kept', vector: null } });
    const other = `UPDATE bodies SET data = (SELECT data FROM bodies WHERE sha256 = 'y') WHERE sha256 = '${sha256}'`;
    const forged = `INSERT INTO bodies VALUES ('y', CAST('e30.eyJzdWJtb2RzIjp7fX0.AA' AS BLOB), 9e15)`;
    const saved = `INSERT INTO bodies SELECT 'z', data, keep_until FROM bodies WHERE sha256 = '${sha256}'`;
    const restore = [
      `UPDATE bodies SET data = (SELECT data FROM bodies WHERE sha256 = 'z') WHERE sha256 = '${sha256}'`,
      `DELETE FROM bodies WHERE sha256 IN ('y', 'z')`,
    ];
    await edited([saved, forged, other], restore, async () => {
      expect(await lineage.json('exec', 'lineage', idOf(chain[1]))).toMatchObject({
        exit: 1,
        document: { denial: { check: 'lineage-result' } },
      });
    });
  });

  it('a renewal says what the environment was found to be then, by the result that its own entry names', async () => {
    const [web] = lineage.hosts;
    const one = await lineage.origin(web);
    const { session, nonceTpm } = await web.session();
    const live = [{ token: String(one.answer['authorization']), sequence: 0, workload: one.workload }];
    const { body } = await web.prepareAttestation(live, nonceTpm);
    const attested = await web.attest(body);
    await session.flush();
    expect(attested.status, attested.text).toBe(200);
    const told = async () => {
      const [execution] = (await ask('exec', 'lineage', idOf(one))).executions;
      return execution as unknown as Record<
        'environment' | 'renewal',
        { result: string; environment: { result: string; status: string } }
      >;
    };
    const { environment, renewal } = await told();
    expect(renewal).toMatchObject({
      environment: { status: 'affirming', vector: { 'instance-identity': 2 } },
    });
    const { result } = renewal.environment;
    const text = String(attested.json['attestationResult']);
    expect(result).toBe(`sha256:${createHash('sha256').update(text).digest('hex')}`);
    expect(result).not.toBe(environment.result);
    const { stdout } = await lineage.run('exec', 'lineage', idOf(one));
    expect(stdout).toMatch(/\n +renewed +\S+Z, affirming, .*instance-identity 2.* \[entry \d+\]\n/);

    const [own, first] = [result, environment.result].map((id) => id.slice('sha256:'.length));
    const rename = `UPDATE bodies SET sha256 = 'x' WHERE sha256 = '${String(own)}'`;
    const back = `UPDATE bodies SET sha256 = '${String(own)}' WHERE sha256 = 'x'`;
    const without = await edited([rename], [back], told);
    expect(without).toMatchObject({
      environment: { status: 'affirming' },
      renewal: { environment: { status: 'not kept', vector: null, result } },
    });
    // The result of the decision in place of the renewal's: genuine, but not what the entry names.
    const swap = `INSERT INTO bodies SELECT '${String(own)}', data, keep_until FROM bodies WHERE sha256 = '${String(first)}'`;
    const undo = [`DELETE FROM bodies WHERE sha256 = '${String(own)}'`, back];
    await edited([rename, swap], undo, async () => {
      expect(await lineage.json('exec', 'lineage', idOf(one))).toMatchObject({
        exit: 1,
        document: { denial: { check: 'lineage-result' } },
      });
    });
  });
});

describe('exports', () => {
  it('are written to a file, whole', async () => {
    const folder = path.join(scratch, 'exports');
    mkdirSync(folder);
    for (const format of ['tree', 'dot', 'svg', 'prov', 'openlineage', 'json']) {
      const file = path.join(folder, format);
      const made = await lineage.run(
        'exec',
        'lineage',
        idOf(chain[0]),
        '--descendants',
        '--format',
        format,
        '-o',
        file,
      );
      expect(made, format).toMatchObject({ exit: 0, stdout: '' });
    }
    rmSync(folder, { recursive: true });
  });
});

describe('docs/LINEAGE.md', () => {
  const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/LINEAGE.md'), 'utf8');
  const commands = [...page.matchAll(/^```sh\n([^`]*)```$/gm)]
    .flatMap(([, block = '']) => block.trim().split('\n'))
    .filter((line) => line !== '');

  it('is a walk whose every command runs: from a running process back to its origin', async () => {
    const { executions, entries } = await ask('exec', 'lineage', idOf(chain[2]));
    const [origin] = executions as never as {
      artifact: { signers: string[] };
      policy: { digest: string };
      entry: string;
    }[];
    const key = path.join(scratch, 'auditor.key');
    const { privateKey } = generateKeyPairSync('ed25519');
    writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const variables: Record<string, string> = {
      EXECUTION: idOf(chain[2]),
      ORIGIN: idOf(chain[0]),
      ENTRY: origin?.entry ?? '',
      SIGNER: origin?.artifact.signers[0] ?? '',
      POLICY: origin?.policy.digest ?? '',
      CONFIG: path.join(lineage.world.directory, 'sealgate.yaml'),
    };
    expect(entries).toHaveProperty(variables['ENTRY'] ?? '');
    expect(commands.length).toBeGreaterThan(18);
    const printed: string[] = [];
    for (const command of commands) {
      const [program, ...words] = command.split(' ');
      expect(program).toBe('sealgate');
      const argv = words.map((word) => {
        if (word.startsWith('$')) return variables[word.slice(1)] ?? expect.fail(`${word} is not explained`);
        // Files of the walk go to a directory of the test.
        return /^(?:entry|lineage|summary|auditor)\.[a-z.-]+$/.test(word) ? path.join(scratch, word) : word;
      });
      const local = argv[0] === 'store';
      const { exit, stdout, stderr } = local ? await cli(...argv) : await lineage.run(...argv);
      expect(exit, `${command}\n${stdout}${stderr}`).toBe(0);
      printed.push(stdout);
    }
    // `audit verify` came first, so the log's continuity was checked from there on.
    const answer = await ask('exec', 'lineage', idOf(chain[2]));
    expect(answer.unchecked).toEqual([]);
    expect(printed.join('')).toContain('alice, vouched for by https://people.example.org');
    const events = readFileSync(path.join(scratch, 'lineage.openlineage.json'), 'utf8');
    expect(JSON.parse(events)).toHaveLength(4);
  });

  it('names every kind, format and flag that the commands have', async () => {
    for (const kind of LISTED_BY) expect(page).toContain(`\`${kind}\``);
    const help = (await cli('exec', 'lineage', '--help')).stdout;
    for (const flag of help.match(/--[a-z-]+/g) ?? [])
      if (!['--help', '--profile', '--ancestors', '--log-key', '--output'].includes(flag))
        expect(page, flag).toContain(flag);
  });
});
