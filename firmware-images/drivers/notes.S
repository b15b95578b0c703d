/* The image's ELF notes (edge.cddl). The build fills in what only the finished image knows: the build id and the log
 * ring. The declaration is assembled from a file that the build writes from the app's own fields. */
    .section .note.EDGE, "a", @note
    .balign 4
    .long 5, 32, 1
    .asciz "EDGE"
    .balign 4
    .globl edge_build_id
edge_build_id:
    .fill 32, 1, 0

    .balign 4
    .long 5, 16, 2
    .asciz "EDGE"
    .balign 4
    .quad 0, 0

    .balign 4
    .long 5, declaration_end - declaration, 3
    .asciz "EDGE"
    .balign 4
declaration:
    .incbin "declaration.cbor"
declaration_end:
    .balign 4
