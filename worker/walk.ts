import { type Dirent, lstatSync, readdirSync } from 'node:fs'
import { MAX_PATH_DEPTH, pathProblem } from '../paths.ts'
import type { Entry } from './outputs.ts'

/** Names read before the rest of a workspace is given up: its file system holds no more than this anyway */
const MAX_ENTRIES = 20_000

/**
 * What lies in a workspace, links never followed. Only for one in which no process is left.
 * @param inputs paths of the inputs: a hidden directory is looked into only where one of them lives in it
 */
export const walk = (root: string, inputs: ReadonlySet<string>): Entry[] => {
  const entries: Entry[] = []
  let seen = 0
  const holdsInput = (directory: string) => [...inputs].some((path) => path.startsWith(`${directory}/`))

  const visit = (directory: string): void => {
    const children = readdirSync(`${root}/${directory}`, { withFileTypes: true })
    if (directory && children.length === 0) entries.push({ kind: 'empty-directory', path: directory })
    for (const child of children.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (++seen > MAX_ENTRIES) return
      const path = directory ? `${directory}/${child.name}` : child.name
      const notKept = (why: string) => entries.push({ kind: 'not-kept', path: printable(path), why })
      const stat = lstatSync(`${root}/${path}`, { throwIfNoEntry: false })
      // decoding changed the name, so that it leads nowhere
      if (!stat) notKept('its name is not UTF-8')
      else if (child.isDirectory()) {
        if (child.name.startsWith('.') && !holdsInput(path)) notKept('a hidden directory')
        else if (path.split('/').length >= MAX_PATH_DEPTH) notKept(`directories nested more than ${MAX_PATH_DEPTH} deep`)
        else visit(path)
      } else if (!child.isFile()) notKept(kindOf(child))
      else {
        const problem = pathProblem(path)
        if (problem) notKept(`its name ${problem}`)
        else entries.push({ kind: 'file', path, size: stat.size })
      }
    }
  }
  visit('')
  return entries
}

const kindOf = (entry: Dirent): string => {
  if (entry.isSymbolicLink()) return 'a symbolic link'
  if (entry.isFIFO()) return 'a named pipe'
  if (entry.isSocket()) return 'a socket'
  return 'a device'
}

const SHOWN_CHARS = 80

/** A name that may hold anything, in one line of text */
const printable = (path: string): string => {
  const text = JSON.stringify(path).slice(1, -1)
  return text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text
}
