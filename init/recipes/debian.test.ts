import { expect, test } from 'bun:test'
import { mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installed, removeFrom, removeScriptsOf } from './debian.ts'

test('installed() reads names and versions out of a status file of dpkg', () => {
  const status =
    'Package: bash\nStatus: install ok installed\nVersion: 5.2.37-2\n\nPackage: libc6\nDepends: x\nVersion: 2.41-12\nPackage-Type: deb\n\n'
  expect(installed(status)).toEqual([
    { name: 'bash', version: '5.2.37-2' },
    { name: 'libc6', version: '2.41-12' },
  ])
})

test('removeFrom() takes out names, directories and patterns, and never follows a link out of the tree', async () => {
  const tree = await mkdtemp(join(tmpdir(), 'tree-'))
  for (const path of [
    'usr/bin/perl5',
    'usr/bin/perldoc',
    'usr/bin/python',
    'usr/lib/x86/perl/base.pm',
    'etc/apt/sources',
    'outside/kept',
  ]) {
    await Bun.write(join(tree, path), '')
  }
  await symlink('../../outside', join(tree, 'usr/lib/perl-link'))
  await removeFrom(tree, ['/usr/bin/perl*', '/usr/lib/*/perl*', '/usr/lib/perl-link', '/etc/apt', '/not/there'])
  expect(await readdir(join(tree, 'usr/bin'))).toEqual(['python'])
  expect(await readdir(join(tree, 'usr/lib/x86'))).toEqual([])
  expect(await readdir(join(tree, 'etc'))).toEqual([])
  expect(await readdir(join(tree, 'outside'))).toEqual(['kept'])
  await rm(tree, { recursive: true })
})

test('removeScriptsOf() knows a script by its first line', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'bin-'))
  await Bun.write(join(directory, 'a'), '#!/usr/bin/perl -w\n')
  await Bun.write(join(directory, 'b'), '#!/usr/bin/env perl\n')
  await Bun.write(join(directory, 'c'), '#!/bin/sh\n# not perl\n')
  await removeScriptsOf('perl', directory)
  expect(await readdir(directory)).toEqual(['c'])
  await rm(directory, { recursive: true })
})
