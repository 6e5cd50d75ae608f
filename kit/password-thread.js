/** The thread that compares passwords with bcrypt hashes. Plain JavaScript, because Node.js loads a thread's file by itself, also when tests run the sources. */
import { parentPort } from 'node:worker_threads'
import bcrypt from 'bcryptjs'

parentPort?.on('message', ({ password, hash }) => parentPort?.postMessage(bcrypt.compareSync(password, hash)))
