import { expect, it } from 'vitest';
import { selectsCode, touchesConfinement } from '../../src/lifecycle/loader-variables.ts';

it.each([
  ...[
    'LD_PRELOAD',
    'LD_AUDIT',
    'GLIBC_TUNABLES',
    'GCONV_PATH',
    'LOCPATH',
    'NLSPATH',
    'PATH',
    'BASH_ENV',
    'ENV',
  ],
  ...[
    'BASH_FUNC_ls%%',
    'IFS',
    'NODE_OPTIONS',
    'PYTHONPATH',
    'PERL5OPT',
    'RUBYOPT',
    'LUA_INIT',
    'JAVA_TOOL_OPTIONS',
  ],
  ...[
    '_JAVA_OPTIONS',
    'JDK_JAVA_OPTIONS',
    'CLASSPATH',
    'DOTNET_STARTUP_HOOKS',
    'OPENSSL_CONF',
    'GTK_MODULES',
  ],
])('%s selects code: no policy that doesn’t name it lets it through, no confining program has it', (name) => {
  expect(selectsCode(name)).toBe(true);
  expect(touchesConfinement(name)).toBe(true);
});

it('what only libc looks at is kept from the confining programs', () => {
  for (const name of ['MALLOC_ARENA_MAX', 'TZDIR', 'RES_OPTIONS', 'HOSTALIASES']) {
    expect(selectsCode(name)).toBe(false);
    expect(touchesConfinement(name)).toBe(true);
  }
});

it('other variables are a program’s own business', () => {
  for (const name of [
    'HOME',
    'LANG',
    'TZ',
    'XPATH',
    'PATHS',
    'MY_LD_PRELOAD',
    'NODENAME',
    'CREDENTIALS_DIRECTORY',
  ])
    expect([selectsCode(name), touchesConfinement(name)]).toEqual([false, false]);
});
