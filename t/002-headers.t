#!/usr/bin/perl
# t/002-headers.t - every header compiles alone: it includes what it needs, and may be included twice.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Temp qw(tempdir);
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
chdir $top or die "$top: $!";
my $cc = $ENV{CC} || 'cc';
plan skip_all => "no compiler \"$cc\"" if system("$cc --version >/dev/null 2>&1") != 0;

# config.h is where configure was run: beside the build directory, or at the top.
my ($config) = grep { -e "$_/config.h" } map { dirname($_) } $ENV{GATEPOST_BUILD} || "$top/build", "$top/build";
plan skip_all => 'not configured: no config.h' unless defined $config;

my @headers;
find({ no_chdir => 1, wanted => sub { push @headers, $_ if /\.h\z/ } }, qw(lib mta policyd milters t));
plan tests => scalar @headers;

my $dir = tempdir('gatepost-headers.XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $flags = "-std=c11 -D_GNU_SOURCE -I. -I'$config' -include config.h -Wall -Wextra -Werror -fsyntax-only";
for my $header (sort @headers) {
    open my $f, '>', "$dir/one.c" or die $!;
    print $f qq{#include "$header"\n#include "$header"\nextern int nothing;\n};
    close $f;
    my $said = `$cc $flags '$dir/one.c' 2>&1`;
    ok $? == 0, $header or diag $said;
}
