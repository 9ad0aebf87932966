import type { Command, Option } from 'commander';

/** Shells that completion scripts are made for. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** A command as completion sees it. */
interface Entry {
  readonly name: string;
  readonly description: string;
  readonly options: readonly Option[];
  /** Values of its argument, when it takes only these. */
  readonly choices: readonly string[];
}

/** The script by which a shell completes commands, options, their choices and files. Static: it starts no process. */
export function completionScript(program: Command, shell: Shell): string {
  const help = program.createHelp();
  const entries = help.visibleCommands(program).map((command) => ({
    name: command.name(),
    description: command.description(),
    options: help.visibleOptions(command),
    choices: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
  }));
  const global = help.visibleOptions(program);
  const write = { bash: forBash, zsh: forZsh, fish: forFish }[shell];
  return write(program.name(), entries, global);
}

const namesOf = ({ long, short }: Option): string[] =>
  [long, short].filter((name) => name !== undefined && name !== null);

const takesValue = ({ required, optional }: Option): boolean => required || optional;

/** Whether an option's value is a file, by the placeholder of its value. */
const takesFile = ({ flags }: Option): boolean => /<(file|path|dir)/.test(flags);

function forBash(program: string, entries: readonly Entry[], global: readonly Option[]): string {
  const words = (entry: Entry): string =>
    [...entry.choices, ...[...entry.options, ...global].flatMap(namesOf)].join(' ');
  const all = [...global, ...entries.flatMap(({ options }) => options)];
  const valued = new Map(all.filter(takesValue).flatMap((option) => namesOf(option).map((name) => [name, option])));
  const values = [...valued].map(([name, option]) => {
    const reply = takesFile(option)
      ? replyFrom('-f')
      : option.argChoices
        ? replyFrom(`-W "${option.argChoices.join(' ')}"`)
        : '';
    return `    ${name}) ${reply}return ;;`;
  });
  return `# Completion of ${program} for bash: eval "$(${program} completion bash)"
_${program}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command="" i
  COMPREPLY=()
  case "$prev" in
${values.join('\n')}
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in
      ${[...valued.keys()].join('|')}) ((i++)) ;;
      -*) ;;
      *) command=\${COMP_WORDS[i]}; break ;;
    esac
  done
  case "$command" in
    "") COMPREPLY=($(compgen -W "${[...entries.map(({ name }) => name), ...global.flatMap(namesOf)].join(' ')}" -- "$cur")) ;;
${entries.map((entry) => `    ${entry.name}) COMPREPLY=($(compgen -W "${words(entry)}" -- "$cur")) ;;`).join('\n')}
  esac
}
complete -o default -F _${program} ${program}
`;
}

function replyFrom(source: string): string {
  return `COMPREPLY=($(compgen ${source} -- "$cur")); `;
}

/** A text within single quotes of a shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

function forZsh(program: string, entries: readonly Entry[], global: readonly Option[]): string {
  const spec = (option: Option): string[] =>
    namesOf(option).map((name) => {
      const about = option.description.replaceAll(/[[\]:\\]/g, '\\$&');
      const value = takesFile(option)
        ? ':file:_files'
        : `:value:${option.argChoices ? `(${option.argChoices.join(' ')})` : ' '}`;
      return quoted(`${name}[${about}]${takesValue(option) ? value : ''}`);
    });
  const described = entries.map(({ name, description }) => quoted(`${name}:${description.replaceAll(':', '\\:')}`));
  const cases = entries.map(({ name, options, choices }) => {
    const specs = [...options, ...global].flatMap(spec);
    const argument = choices.length > 0 ? [quoted(`1:value:(${choices.join(' ')})`)] : [];
    return `    ${name}) _arguments ${[...specs, ...argument].join(' ')} ;;`;
  });
  return `#compdef ${program}
# Completion of ${program} for zsh: eval "$(${program} completion zsh)"
_${program}() {
  local context state state_descr line
  typeset -A opt_args
  _arguments -C ${global.flatMap(spec).join(' ')} '1:command:->command' '*::argument:->argument'
  case "$state" in
  command)
    local -a commands=(${described.join(' ')})
    _describe command commands ;;
  argument)
    case "$line[1]" in
${cases.join('\n')}
    esac ;;
  esac
}
compdef _${program} ${program}
`;
}

function forFish(program: string, entries: readonly Entry[], global: readonly Option[]): string {
  const names = entries.map(({ name }) => name).join(' ');
  const line = (condition: string, rest: string): string => `complete -c ${program} -n ${quoted(condition)} ${rest}`;
  const option = (condition: string, { long, short, description, argChoices, ...other }: Option): string => {
    const value = argChoices ? ` -x -a ${quoted(argChoices.join(' '))}` : takesValue(other as Option) ? ' -r' : '';
    const forms = [long ? `-l ${long.slice(2)}` : '', short ? `-s ${short.slice(1)}` : ''].filter(Boolean).join(' ');
    return line(condition, `${forms}${value} -d ${quoted(description)}`);
  };
  const none = `not __fish_seen_subcommand_from ${names}`;
  return `${[
    `# Completion of ${program} for fish: ${program} completion fish | source`,
    `complete -c ${program} -e`,
    ...entries.map(({ name, description }) => line(none, `-f -a ${name} -d ${quoted(description)}`)),
    ...global.map((each) => option('true', each)),
    ...entries.flatMap(({ name, options, choices }) => {
      const seen = `__fish_seen_subcommand_from ${name}`;
      const values = choices.length > 0 ? [line(seen, `-f -a ${quoted(choices.join(' '))}`)] : [];
      return [...values, ...options.map((each) => option(seen, each))];
    }),
  ].join('\n')}
`;
}
