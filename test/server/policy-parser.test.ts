import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/index.ts';
import { bundleBytes, manifestOf } from '../../src/policy/index.ts';
import { policyParser } from '../../src/server/policy/policy-parser.ts';
import { expectRejection } from '../support/refusals.ts';
import { bundleOf } from './policy-world.ts';

const bundle = bundleOf(1, null);

describe('the disposable worker that examines bundles', () => {
  it('answers what the bundle is, and with refusals as they are', async () => {
    const examined = await policyParser().examine(bundleBytes(bundle));
    expect(examined).toMatchObject({ hash: bundle.hash, manifest: manifestOf(bundle) });
    await expectRejection('malformed', policyParser().examine(utf8('{')));
    const unknown = { ...bundle.json, more: 1 };
    await expectRejection('policy-form', policyParser().examine(utf8(JSON.stringify(unknown))));
  });

  it('is ended when it takes too long or needs too much, and the caller hears of it', async () => {
    const limits = { milliseconds: 30_000, heapMegabytes: 1024 };
    await expectRejection(
      'policy-examination',
      policyParser({ ...limits, milliseconds: 1 }).examine(bundleBytes(bundle)),
    );
    await expectRejection(
      'policy-examination',
      policyParser({ ...limits, heapMegabytes: 8 }).examine(bundleBytes(bundle)),
    );
  });
});
