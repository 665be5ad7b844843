#!/usr/bin/env python3
"""Translates the kernels of one PTX file to C++, which runs on the fibers of kernels/emu.

    translate.py FILE.ptx FILE.log >FILE.cpp

FILE.log is what `ptxas -v` printed: registers per thread. An instruction becomes a call of the
member template of its name in machine.h: `mul.wide.u32 d, a, b` becomes `d = as<decltype(d)>(
mul_wide<u32>(m, a, b));`. So an instruction that machine.h lacks does not compile.

Instructions are counted by stretches, which run from a label or a branch to the next one: a counter
per stretch, and a table of how many instructions of each kind it has.
"""
import re
import sys

TYPES = {k + n for k in 'usb' for n in ('8', '16', '32', '64')} | {'f32', 'f64', 'pred'}
MODIFIERS = {'nc', 'to', 'sync', 'lo', 'uni'}  # say nothing here, as each name has one meaning
NO_RESULT = {'st', 'bar', 'red'}
KEYWORDS = {'and', 'or', 'xor', 'not'}  # of C++
KINDS = ('global_load', 'global_store', 'shared', 'either', 'parameter', 'arithmetic', 'division',
         'branch', 'threads', 'move')  # of instructions: instruction_kind in translated.h


def kind_of(name):
    """The number of an instruction's kind. `either`: an address that may be global or shared."""
    parts = name.split('.')
    if parts[0] in ('ld', 'st', 'atom', 'red'):
        if 'param' in parts:
            kind = 'parameter'
        elif 'shared' in parts or 'local' in parts:
            kind = 'shared'
        elif 'global' in parts:
            kind = 'global_load' if parts[0] == 'ld' else 'global_store'
        else:
            kind = 'either'
    elif parts[0] in ('bra', 'ret', 'exit'):
        kind = 'branch'
    elif parts[0] in ('bar', 'shfl', 'vote'):
        kind = 'threads'
    elif parts[0] in ('div', 'rem') and not parts[-1].startswith('f'):
        kind = 'division'
    else:
        kind = 'move' if parts[0] in ('mov', 'cvta') else 'arithmetic'
    return KINDS.index(kind)


def split(operands):
    """'{%r1, %r2}, [%rd1+8]' -> ['{%r1, %r2}', '[%rd1+8]']"""
    return [part.strip() for part in re.findall(r'\s*(\{[^}]*\}|\[[^\]]*\]|[^,]+)', operands)
            if part.strip()]


def register(name):
    """The C++ variable of a register."""
    return 'r_' + name.strip().replace('%', '')


def put(variable, value):
    """Sets a register. No function does it by reference: what has an address is slow to compile."""
    return '%s = as<decltype(%s)>(%s);' % (variable, variable, value)


class Kernel:
    def __init__(self, name, parameters, body, file_shared):
        self.name, self.body = name, re.sub(r'//[^\n]*', '', body)
        self.sizes = [self.size_of(p) for p in parameters.split(',') if p.strip()]
        self.offsets, self.shared, self.local = {}, 0, 0
        self.stretches, self.begins = [], True  # counts by kind; whether the next one begins
        used = [d for d in file_shared if d[2] in self.body]
        used += re.findall(r'\.(shared|local) \.align (\d+) \.b8\s+(\S+?)\[(\d*)\];', self.body)
        for kind, align, symbol, size in sorted(used, key=lambda d: not d[3]):
            self.place(kind, int(align), symbol, int(size or 0))

    @staticmethod
    def size_of(parameter):
        array = re.search(r'\.b8 \S+\[(\d+)\]', parameter)
        return int(array.group(1)) if array else int(re.search(r'\.[usbf](\d+) ', parameter).group(1)) // 8

    def place(self, kind, align, symbol, size):
        """A launch's dynamic shared memory, whose size the file does not say, comes last."""
        start = (getattr(self, kind) + align - 1) // align * align
        self.offsets[symbol] = start
        setattr(self, kind, start + size)

    def operand(self, text):
        if text.startswith('!'):
            return '!' + register(text[1:])
        if re.match(r'%(n?tid|n?ctaid)\.[xyz]$', text) or text == '%laneid':
            return text[1:].replace('.', '_') + '()'
        if text.startswith('%'):
            return register(text)
        bits = re.match(r'0([fd])([0-9A-Fa-f]+)$', text)
        if bits:
            return 'bits_of<%s>(0x%sull)' % ({'f': 'f32', 'd': 'f64'}[bits.group(1)], bits.group(2))
        if re.match(r'-?\d', text):
            return '(s64)%sull' % text
        if re.search(r'_param_\d+$', text):
            return 'address_of(m.parameters[%s])' % text.rpartition('_')[2]
        if text in self.offsets:
            place = '(s64)%d' % self.offsets[text]
            return 'address_of(local) + ' + place if 'local' in text else place
        return register(text)  # of an inner block

    def address(self, text):
        base, _, offset = text.strip('[] ').partition('+')
        return '%s + (s64)(%s)' % (self.operand(base), offset or 0)

    def memory(self, parts, types, operands):
        """ld and st, of one value or of a vector."""
        space = next((p for p in parts if p in ('param', 'global', 'shared', 'local')), 'generic')
        values, place = operands if parts[0] == 'ld' else operands[::-1]
        values = split(values.strip('{}'))
        kind = types[0] if len(values) == 1 else '%s, %d' % (types[0], len(values))
        call = '%s_%s<%s>(m, %s' % (parts[0], space, kind, self.address(place))
        if parts[0] == 'st':
            stored = ', '.join('as<%s>(%s)' % (types[0], self.operand(v)) for v in values)
            return '%s, %s);' % (call, stored if len(values) == 1 else '{{%s}}' % stored)
        if len(values) == 1:
            return put(register(values[0]), call + ')')
        puts = [put(register(v), 'v.at[%d]' % k) for k, v in enumerate(values)]
        return '{auto v = %s); %s}' % (call, ' '.join(puts))

    def move_halves(self, types, operands):
        """mov.b64 {%r1, %r2}, %rd1 and back."""
        to, source = operands
        if to.startswith('{'):
            low, high = split(to.strip('{}'))
            return ' '.join(put(register(to), '%s<%s>(%s)' % (name, types[0], self.operand(source)))
                            for to, name in ((low, 'low'), (high, 'high')))
        halves = ', '.join(self.operand(h) for h in split(source.strip('{}')))
        return put(register(to), 'join<%s>(%s)' % (types[0], halves))

    def instruction(self, name, operands):
        parts = name.split('.')
        types = [p for p in parts if p in TYPES]
        operands = split(operands)
        if parts[0] in ('ld', 'st'):
            return self.memory(parts, types, operands)
        if parts[0] == 'mov' and any(o.startswith('{') for o in operands):
            return self.move_halves(types, operands)
        call = '_'.join(p for p in parts if p not in TYPES and p not in MODIFIERS)
        call += '_' if call in KEYWORDS else ''
        inputs = operands if parts[0] in NO_RESULT else operands[1:]
        inputs = [self.address(o) if o.startswith('[') else self.operand(o) for o in inputs]
        call = '%s%s(%s)' % (call, '<%s>' % ', '.join(types) if types else '', ', '.join(['m'] + inputs))
        if parts[0] in NO_RESULT:
            return call + ';'
        to = operands[0].split('|')
        if len(to) == 2:  # shfl also says whether the lane it asked was inside the group
            return '{auto v = %s; %s %s}' % (call, put(register(to[0]), 'v.value'), put(register(to[1]), 'v.inside'))
        return put(register(to[0]), call)

    def statement(self, text):
        declared = re.match(r'\.reg \.(\w+)\s+(%?\w+)(?:<(\d+)>)?$', text)
        if declared:
            kind, name, count = declared.groups()
            names = ['%s%d' % (name, k) for k in range(int(count))] if count else [name]
            return '%s %s;' % (kind, ', '.join(map(register, names))) if names else ''
        if text.startswith('.') or not text:
            return ''
        guard, rest = re.match(r'(?:@(!?%?\w+)\s+)?(.*)$', text, re.S).groups()
        name, operands = (rest.split(None, 1) + [''])[:2]
        counter = self.count(name)
        if name.startswith('bra'):
            done = 'goto %s;' % operands.replace('$', '')
        elif name in ('ret', 'exit'):
            done = 'return;'
        else:
            done = self.instruction(name, operands)
            if guard:
                done = '{%s}' % done
        # Only blocks that are needed: at the end of each, g++ looks at all labels of the function.
        return counter + ('if (%s) %s' % (self.operand(guard), done) if guard else done)

    def count(self, name):
        """Adds an instruction to its stretch. Returns the statement that counts one that begins."""
        counter = ''
        if self.begins:
            counter = '++m.ran[%d]; ' % len(self.stretches)
            self.stretches.append([0] * len(KINDS))
        self.stretches[-1][kind_of(name)] += 1
        self.begins = name.startswith(('bra', 'ret', 'exit'))
        return counter

    def lines(self):
        body = re.sub(r'(\$L\w+:)', r'\n\1;', self.body)
        body = re.sub(r'^\s*([{}])', r'\1;', body, flags=re.M)  # of inline assembly
        for text in re.split(r'[;\n]', re.sub(r';\s*\}', ';};', body)):
            text = text.strip()
            if text in ('{', '}'):
                yield text
            elif text.endswith(':'):
                self.begins = True
                yield text.replace('$', '') + ';'
            elif text:
                yield self.statement(text)


def kernels(text):
    file_shared = re.findall(r'^(?:\.extern )?\.(shared) \.align (\d+) \.b8 (\S+?)\[(\d*)\];', text, re.M)
    # Of an array of few elements nvcc may make single ones.
    singles = re.findall(r'^\.(shared) \.align (\d+) \.\w(\d+) (\S+?);', text, re.M)
    file_shared += [(space, align, name, int(bits) // 8) for space, align, bits, name in singles]
    for found in re.finditer(r'\.entry (\S+?)\(\n?(.*?)\)\n(?:\.\S+[^\n]*\n)*\{\n(.*?)\n\}\n', text, re.S):
        yield Kernel(*found.groups(), file_shared)


def registers_of(log):
    found = re.findall(r"Compiling entry function '(\S+)'.*?Used (\d+) registers", log, re.S)
    return {name: int(count) for name, count in found}


def main():
    text, registers = open(sys.argv[1]).read(), registers_of(open(sys.argv[2]).read())
    print('#include "machine.h"\n\nnamespace {\nstruct translation : instructions {')
    entries, tables = [], []
    for k, kernel in enumerate(kernels(text)):
        print('static void kernel_%d(const machine &m) {' % k)
        print('  alignas(16) char local[%d];\n  (void)m, (void)local;' % max(kernel.local, 1))
        print('\n'.join(line for line in kernel.lines() if line))
        print('}\n')
        entries.append('  {"%s", translation::kernel_%d, %d, %d, {%s}, %d, of_%d, %d},' % (
            kernel.name, k, registers[kernel.name], kernel.shared,
            ', '.join(map(str, kernel.sizes)), len(kernel.sizes), k, len(kernel.stretches)))
        tables.append('static const instruction_counts of_%d[] = {%s};' % (
            k, ', '.join('{{%s}}' % ', '.join(map(str, counts)) for counts in kernel.stretches)))
    print('};\n}  // namespace')
    if entries:
        print('\n'.join(tables))
        print('static const translated table[] = {\n%s\n};' % '\n'.join(entries))
        print('static const bool added = add_translated(table, %d);' % len(entries))


main()
