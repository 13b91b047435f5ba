import { short } from './dot.ts';
import { environmentText } from './graph.ts';
import type { ExecutionView } from './view.ts';

const WIDTH = 420;
const LINE = 16;
const GAP = 24;
const INDENT = 48;

/**
 * Executions as a drawing: one box each, below and to the right of its parent. Text and lines only: no script, no link,
 * no style sheet, nothing loaded; foreign text is escaped.
 */
export function svgTree(executions: readonly ExecutionView[]): string {
  const placed = place(executions);
  const height = (placed.at(-1)?.bottom ?? 0) + GAP;
  const width = Math.max(0, ...placed.map(({ x }) => x)) + WIDTH + GAP;
  const at = new Map(placed.map((one) => [one.view.executionId, one]));
  const boxes = placed.map(({ view, x, y, lines, bottom }) => {
    const text = lines.map(
      (line, i) =>
        `<text x="${String(x + 10)}" y="${String(y + LINE * (i + 1) + 4)}">${escaped(line)}</text>`,
    );
    const parent = view.decision.parent === null ? undefined : at.get(view.decision.parent);
    const line =
      parent === undefined
        ? ''
        : `<polyline fill="none" stroke="#555" points="${String(parent.x + 16)},${String(parent.bottom)} ` +
          `${String(parent.x + 16)},${String(y + LINE)} ${String(x)},${String(y + LINE)}"/>`;
    const box = `<rect x="${String(x)}" y="${String(y)}" width="${String(WIDTH)}" height="${String(bottom - y)}" fill="#fff" stroke="#333"/>`;
    return `${line}${box}${text.join('')}\n`;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${String(width)}" height="${String(height)}" ` +
    `viewBox="0 0 ${String(width)} ${String(height)}" font-family="monospace" font-size="12">\n` +
    `<title>Lineage</title>\n${boxes.join('')}</svg>\n`
  );
}

interface Placed {
  readonly view: ExecutionView;
  readonly x: number;
  readonly y: number;
  readonly bottom: number;
  readonly lines: readonly string[];
}

/** In the order of a walk that meets parents first; depth is the way to the right. */
function place(executions: readonly ExecutionView[]): readonly Placed[] {
  const placed: Placed[] = [];
  let y = GAP;
  for (const { view, depth } of inTreeOrder(executions)) {
    const lines = linesOf(view);
    const bottom = y + LINE * lines.length + 12;
    placed.push({ view, x: GAP + depth * INDENT, y, bottom, lines });
    y = bottom + GAP;
  }
  return placed;
}

/** Executions, each below its parent: the tree that people see. Those whose parent isn't there begin one of their own. */
export function inTreeOrder(
  executions: readonly ExecutionView[],
): readonly { readonly view: ExecutionView; readonly depth: number }[] {
  const known = new Set(executions.map(({ executionId }) => executionId));
  const children = new Map<string, ExecutionView[]>();
  const tops: ExecutionView[] = [];
  for (const view of executions) {
    const { parent } = view.decision;
    if (parent === null || !known.has(parent)) tops.push(view);
    else {
      const siblings = children.get(parent);
      if (siblings === undefined) children.set(parent, [view]);
      else siblings.push(view);
    }
  }
  const ordered: { view: ExecutionView; depth: number }[] = [];
  const left = tops.map((view) => ({ view, depth: 0 })).reverse();
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    ordered.push(next);
    const { depth } = next;
    for (const view of (children.get(next.view.executionId) ?? []).reverse())
      left.push({ view, depth: depth + 1 });
  }
  return ordered;
}

function linesOf(view: ExecutionView): readonly string[] {
  const { decision, executionId, state, enrollment, appraised } = view;
  const { artifact, initiator, policy, hostId, index } = decision;
  return [
    `${short(artifact?.name ?? '-')}  ${state}`,
    executionId,
    `entry ${index}  ${decision.time}`,
    ...(initiator === null ? [] : [`for ${short(initiator.subject)}`]),
    `host ${short(enrollment?.name ?? hostId.slice(0, 16))}, environment ${environmentText(appraised)}`,
    `policy ${policy === null ? '-' : `version ${String(policy.version)} ${policy.digest.slice(0, 23)}…`}`,
  ];
}

const ENTITY: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
/** XML 1.0 has no way to write U+FFFE and U+FFFF; what else it can't hold `short` has made visible. */
const escaped = (text: string): string =>
  text.replace(/[&<>"'\ufffe\uffff]/g, (character) => ENTITY[character] ?? '\ufffd');
