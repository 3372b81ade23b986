#!/usr/bin/perl
# t/002-headers.t - every header compiles alone.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
chdir $top or die;
my $cc = $ENV{CC} || 'cc';
my @headers;
find({ no_chdir => 1, wanted => sub { push @headers, $_ if /\.h$/ } }, qw(lib mta policyd milters));
my @flags = ('-std=c11', '-D_GNU_SOURCE', '-I.', '-fsyntax-only', '-Wall', '-Wextra',
    split ' ', `pkg-config --cflags hiredis opendkim libunbound 2>/dev/null`);
my @failed;
for my $header (sort @headers) {
    open my $compiler, '|-', "$cc @flags -x c - 2>&1" or die "$cc: $!";
    print $compiler "#include \"$header\"\nint nothing;\n";
    close $compiler or push @failed, $header;
}
is_deeply \@failed, [], scalar(@headers) . ' headers';
done_testing;
