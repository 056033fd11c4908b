import { lstatSync, readdirSync, type Stats } from 'node:fs'
import { MAX_PATH_DEPTH, pathProblem } from '../paths.ts'
import { type Entry, MARKER } from './outputs.ts'

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
    // as bytes: decoded loosely, the names of a directory and of a link to anywhere can be made the same
    const names = readdirSync(`${root}/${directory}`, 'buffer').sort(Buffer.compare)
    const inDirectory = (name: string) => (directory ? `${directory}/${name}` : name)
    const notKept = (path: string, why: string) => entries.push({ kind: 'not-kept', path: printable(path), why })
    if (directory && names.length === 0) {
      const problem = pathProblem(inDirectory(MARKER))
      if (problem) notKept(directory, `its name ${problem}`)
      else entries.push({ kind: 'empty-directory', path: directory })
    }
    for (const bytes of names) {
      if (++seen > MAX_ENTRIES) return
      const name = utf8(bytes)
      if (name === null) {
        notKept(inDirectory(bytes.toString()), 'its name is not UTF-8')
        continue
      }
      const path = inDirectory(name)
      const stat = lstatSync(`${root}/${path}`)
      if (stat.isDirectory()) {
        if (name.startsWith('.') && !holdsInput(path)) notKept(path, 'a hidden directory')
        else if (path.split('/').length >= MAX_PATH_DEPTH) notKept(path, `directories nested more than ${MAX_PATH_DEPTH} deep`)
        else visit(path)
      } else if (!stat.isFile()) notKept(path, kindOf(stat))
      else {
        const problem = pathProblem(path)
        if (problem) notKept(path, `its name ${problem}`)
        else entries.push({ kind: 'file', path, size: stat.size })
      }
    }
  }
  visit('')
  return entries
}

/** Text that leads to the very name again, or `null` */
const utf8 = (bytes: Buffer): string | null => {
  const text = bytes.toString()
  return Buffer.from(text).equals(bytes) ? text : null
}

const kindOf = (entry: Stats): string => {
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
