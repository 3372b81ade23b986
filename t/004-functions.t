#!/usr/bin/perl
# t/004-functions.t - the size of functions and files: short ones as a rule, long ones as the exception.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use Test::More;

my $top = dirname(dirname(abs_path(__FILE__)));
chdir $top or die "$top: $!";
plan skip_all => 'no universal-ctags' unless (`ctags --version 2>/dev/null` // '') =~ /Universal Ctags/;

my @files;
find({ no_chdir => 1, wanted => sub { push @files, $_ if /\.c\z/ } }, qw(lib mta policyd milters));

my (@length, @long);
open my $tags, '-|', 'ctags', '--languages=C', '--kinds-C=f', '--fields=+ne', '-o', '-', sort @files or die "ctags: $!";
while (<$tags>) {
    my ($name, $file) = split /\t/;
    my ($line) = /\tline:(\d+)/;
    my ($end) = /\tend:(\d+)/ or next;
    push @length, $end - $line + 1;
    push @long, "$file:$line: $name, $length[-1] lines" if $length[-1] > 60;
}
close $tags;
@length = sort { $a <=> $b } @length;
cmp_ok scalar @length, '>', 1000, 'functions';
cmp_ok $length[ @length / 2 ], '<=', 15, 'lines of the middle one';
cmp_ok $length[ @length * 0.95 ], '<=', 60, 'lines of the longest but one in twenty';
cmp_ok scalar @long, '<=', @length / 100, 'over 60 lines: one in a hundred at most' or diag join "\n", @long;
note $_ for @long;

my @large = grep { my $n = () = do { open my $f, '<', $_ or die $!; local $/; <$f> } =~ /\n/g; $n > 800 } @files;
is "@large", '', 'no file over 800 lines';

done_testing;
