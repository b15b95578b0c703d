/* Included by files whose code runs rarely: small matters more there than fast, since an image is to stay below 64 KiB.
 * Include it last. */
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)
