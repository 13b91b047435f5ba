import { printable } from '../base/index.ts';
import type { GraphNode, LineageGraph } from './graph.ts';

const SHAPE: Readonly<Partial<Record<GraphNode['kind'], string>>> = {
  execution: 'box',
  artifact: 'note',
  policy: 'folder',
  host: 'component',
  initiator: 'ellipse',
};
const LONGEST = 48;

/** The graph in Graphviz's language. Ids are numbers, labels quoted: foreign text can't be anything but a label. */
export function dotGraph({ nodes, edges }: LineageGraph): string {
  const numbers = new Map([...nodes.keys()].map((key, i) => [key, `n${String(i)}`]));
  const boxes = [...nodes].map(([key, node]) => {
    const label = quoted(`${node.kind}\n${short(node.label)}\nentry ${node.leaf}`);
    return `  ${numbers.get(key) ?? ''} [label=${label}, shape=${SHAPE[node.kind] ?? 'plain'}];\n`;
  });
  const arrows = edges.flatMap(({ from, to, relation }) => {
    const [a, b] = [numbers.get(from), numbers.get(to)];
    // An end beyond this page is not drawn.
    return a === undefined || b === undefined ? [] : [`  ${a} -> ${b} [label=${quoted(relation)}];\n`];
  });
  return `digraph lineage {\n  rankdir=BT;\n  node [fontname="sans-serif"];\n${boxes.join('')}${arrows.join('')}}\n`;
}

/** A quoted string of the DOT language: only \n is meant as an escape. */
function quoted(text: string): string {
  const lines = text.split('\n').map((line) => printable(line).replace(/\\/g, '\\\\').replace(/"/g, '\\"'));
  return `"${lines.join('\\n')}"`;
}

/** Foreign text on one line, cut to what can be read. */
export function short(text: string): string {
  const line = printable(text);
  return line.length <= LONGEST ? line : `${line.slice(0, LONGEST - 1)}…`;
}
