import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { format, resolveConfig } from 'prettier';
import ts from 'typescript';
import { DENIALS, DENIAL_STATUS } from '../../src/lifecycle/denial.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const HEAD = `# Denials

Every way in which Sealgate says no. A denial is the same object on the command line (\`--json\`), in an HTTP answer, in the
audit log and in the library: \`stage\`, \`code\`, \`check\`, \`reason\`, \`remedy\`, \`detail\`. This page has every \`check\` by its stage,
its code, what it says (\`…\` stands for what differs each time) and what to do about it. It is written from
\`src/lifecycle/denial.ts\` and from the places that refuse; a test compares it.

Codes and their HTTP status: CODES.
`;

/** docs/DENIALS.md as it has to be, formatted like every other page. */
export async function denialReference(): Promise<string> {
  const reasons = collectReasons();
  const codes = Object.entries(DENIAL_STATUS).map(([code, status]) => `\`${code}\` ${String(status)}`);
  const stages = [...new Set(Object.values(DENIALS).map(({ stage }) => stage))].sort();
  const text = [
    HEAD.replace('CODES', codes.join(', ')),
    ...stages.map((stage) => section(stage, reasons)),
  ].join('\n');
  const page = path.join(ROOT, 'docs/DENIALS.md');
  return await format(text, { ...(await resolveConfig(page)), parser: 'markdown' });
}

function section(wanted: string, reasons: ReadonlyMap<string, ReadonlySet<string>>): string {
  const rows = Object.entries(DENIALS)
    .filter(([, { stage }]) => stage === wanted)
    .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
    .map(([id, { code, remedy }]) => {
      const said = [...(reasons.get(id) ?? [])].sort().map((reason) => `“${cell(reason)}”`);
      return [`- \`${id}\` (${code})`, ...said].join(', ') + `. ${cell(remedy)}`;
    });
  return `## Stage \`${wanted}\`\n\n${rows.join('\n')}\n`;
}

const cell = (text: string): string => text.replace(/[|<>*_\\[\]]/g, (mark) => `\\${mark}`).trim();

/** The reasons that stand beside literal ids: `refuse('id', 'reason')`, `new Refusal(…)`, `problem(event, 'f5', …)`. */
function collectReasons(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) note(node.arguments ?? [], found);
    ts.forEachChild(node, visit);
  };
  for (const folder of ['src', 'native'])
    for (const name of readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' }).sort())
      if (name.endsWith('.ts')) {
        const file = path.join(ROOT, folder, name);
        visit(ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest));
      }
  return found;
}

function note(given: readonly ts.Expression[], found: Map<string, Set<string>>): void {
  given.forEach((argument, i) => {
    const reason = textOf(given[i + 1]);
    if (!ts.isStringLiteral(argument) || !Object.hasOwn(DENIALS, argument.text)) return;
    // A reason is words; ids and names of members are beside ids as well.
    if (reason === undefined || !/\w.* .*\w/.test(reason)) return;
    const reasons = found.get(argument.text) ?? new Set();
    found.set(argument.text, reasons.add(reason));
  });
}

/** A literal text, or a template with `…` where values go. */
function textOf(node: ts.Expression | undefined): string | undefined {
  if (node === undefined) return undefined;
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return node.text;
  if (!ts.isTemplateExpression(node)) return undefined;
  return [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)].join('…');
}
