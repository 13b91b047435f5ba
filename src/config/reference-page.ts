import type { TSchema } from 'typebox';
import type { JsonObject } from '../base/index.ts';
import { configKeys, configSections } from './keys.ts';
import type { ConfigKey } from './keys.ts';

/** docs/CONFIG.md, made from the schemas; a test compares the committed page with this. */
export function referencePage(
  pages: readonly { readonly title: string; readonly text: string; readonly schema: TSchema }[],
): string {
  const parts = pages.map(({ title, text, schema }) => `## ${title}\n\n${text}\n\n${sectionTables(schema)}`);
  return `# Configuration

Made from the schema by \`scripts/config-reference.ts\`; don't edit. Every key has a default and may be left out; a key that
is not listed here is refused. An environment variable goes before the file. \`sealgate config show\` prints what holds
and where it comes from, \`config check\` judges files, modes and what is about to expire, \`config schema\` prints the
JSON Schema for editors.

${parts.join('\n')}`;
}

function sectionTables(schema: TSchema): string {
  const keys = configKeys(schema);
  const top = keys.filter(({ path }) => path.length === 1);
  const sections = configSections(schema).map(({ path, description }) => {
    const name = path.join('.');
    const own = keys.filter(
      (key) => key.path.length === path.length + 1 && key.path.join('.').startsWith(`${name}.`),
    );
    return `### ${name}\n\n${description}\n\n${keyTable(own)}`;
  });
  return [keyTable(top), ...sections].join('\n');
}

function keyTable(keys: readonly ConfigKey[]): string {
  const rows = keys.map(({ path, schema, description, variable, ...key }) => {
    const name = `\`${path.at(-1) ?? ''}\``;
    return `| ${name} | ${typeText(schema)} | \`${JSON.stringify(key.default)}\` | \`${variable}\` | ${description} |\n`;
  });
  return `| key | type | default | environment | meaning |\n| --- | --- | --- | --- | --- |\n${rows.join('')}`;
}

function typeText({ anyOf, type, minimum, maximum }: JsonObject): string {
  if (Array.isArray(anyOf)) {
    const values = (anyOf as readonly JsonObject[]).map((one) => one['const'] ?? null);
    return values
      .map((value) => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``)
      .join(' or ');
  }
  if (typeof minimum === 'number' && typeof maximum === 'number')
    return `${String(minimum)} … ${String(maximum)}`;
  return type === 'string' ? 'text' : JSON.stringify(type ?? null);
}
