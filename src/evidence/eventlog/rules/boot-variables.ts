import { Refusal } from '../../../base/index.ts';
import { GUID } from '../efi/guid.ts';
import { parseBootOrder, parseLoadOption } from '../efi/load-option.ts';
import type { LoadOption } from '../efi/load-option.ts';
import { parseVariable } from '../efi/variable.ts';
import type { EfiVariable } from '../efi/variable.ts';
import { EV } from '../event-types.ts';
import type { BootVariableFacts, EventLogFacts } from '../facts.ts';
import type { LogEvent } from '../log.ts';
import type { RuleContext } from './context.ts';

const ACTIVE = 1;
const PCRS = [1, 3, 5, 6];

/** A variable whose value is proven; its name only where the whole structure is what was hashed. */
interface ProvenVariable {
  readonly variable: EfiVariable;
  readonly named: boolean;
}

/**
 * PCR 1: BootOrder and Boot####. Firmware hashes either the whole UEFI_VARIABLE_DATA or VariableData alone (f2). In the
 * second case names are labels that nothing covers, so a value is told by its form: a boot order isn't a load option.
 */
export function bootVariableFacts(context: RuleContext): EventLogFacts {
  const proven = PCRS.flatMap((pcr) => context.events(pcr).map((event) => prove(context, event)));
  const orders: string[][] = [];
  const bootVariables: BootVariableFacts[] = [];
  proven.forEach((entry) => {
    if (entry?.event.pcr !== 1) return;
    const { variable, named } = entry;
    if (named && variable.guid !== GUID.EFI_GLOBAL_VARIABLE) return;
    if (named ? variable.name === 'BootOrder' : loadOption(variable) === undefined) {
      const order = attempt(() => parseBootOrder(variable.value));
      if (order !== undefined && order.length > 0) orders.push(order);
    } else if (!named || /^Boot[0-9A-F]{4}$/.test(variable.name)) {
      const option = loadOption(variable);
      if (option !== undefined) bootVariables.push(optionFacts(option, named ? variable.name : undefined));
    }
  });
  const [bootOrder, another] = orders;
  return bootOrder !== undefined && another === undefined ? { bootOrder, bootVariables } : { bootVariables };
}

function prove(context: RuleContext, event: LogEvent): (ProvenVariable & { event: LogEvent }) | undefined {
  const { type } = event;
  const isBoot = type === EV.EFI_VARIABLE_BOOT || type === EV.EFI_VARIABLE_BOOT2;
  const isVariable = isBoot || type === EV.EFI_VARIABLE_DRIVER_CONFIG;
  const variable = parseVariable(event.data);
  if (!isVariable && variable?.trailing !== 0) return undefined;
  const named = context.isTied(event);
  // Lengths that fit by chance, and then a matching hash: not by chance. DRIVER_CONFIG is always hashed whole.
  const byValue = !named && variable?.trailing === 0 && context.tieBy('variable-data', event, variable.value);
  if (isVariable) {
    if (!named && !(byValue && isBoot))
      context.problem(event, 'f2', 'a variable whose data is not what was measured');
  } else if (byValue || named) {
    context.problem(event, 'f4', 'a variable under another event type');
  }
  return variable?.trailing === 0 && (named || byValue) ? { variable, named, event } : undefined;
}

function loadOption(variable: EfiVariable): LoadOption | undefined {
  return attempt(() => parseLoadOption(variable.value));
}

function optionFacts(option: LoadOption, name: string | undefined): BootVariableFacts {
  const { attributes, description, devicePath } = option;
  const facts = { active: (attributes & ACTIVE) !== 0, description, devicePath };
  return name === undefined ? facts : { name, ...facts };
}

/** The value, or undefined where the form isn't that of `T`: firmware may store anything in a boot variable. */
function attempt<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}
