"""Work on files that depends on the platform: what file systems differ in, careful opening, files made in one step.

Modules, from the ground up; each imports only from those above it:

    opening        opens files carefully, with the flags that the platform has
    file_locks     locks open files: flock(2), or LockFile on Windows
    file_systems   syncs, locks and links, if the file system has them; errors name their file
    new_files      makes or replaces a file in one step
    private_files  files that one user's processes share: locked, and refused if others could change them
"""
